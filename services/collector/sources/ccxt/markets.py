"""What an exchange says of its markets: kept in a file, pruned to what is configured, and compared with it.

All of an exchange's markets take ccxt half a second and 120 MB; the few that are traded here, from the file, 7 ms.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import orjson
import structlog

from bestex.clock import SECOND
from bestex.instruments import Instrument, Listing
from bestex.units import UnitError, to_units

FRESH_NS = 3_600 * SECOND  # an older file is used, and fetched anew meanwhile
MAX_AGE_NS = 7 * 86_400 * SECOND  # one older than this is not used


class Saved(msgspec.Struct):
    """`exchange`: ccxt's class. `markets`: as `fetch_markets` gives them."""

    at_ns: int
    exchange: str
    markets: list[dict[str, Any]]


class Markets:
    """Of one venue; `symbols` are ccxt's."""

    def __init__(self, data_dir: Path, venue: str, symbols: Collection[str]) -> None:
        self._path = data_dir / "markets" / f"{venue}.json"
        self._symbols = set(symbols)
        self._log = structlog.get_logger(venue=venue)

    async def load(self, exchange: Any, now_ns: int) -> bool:
        """Into the exchange; whether they should be fetched anew meanwhile. Raises what ccxt raises."""
        saved = self._read(exchange.id, now_ns)
        if saved is None:
            await self.fetch(exchange, now_ns)
            return False
        exchange.set_markets(saved.markets)
        await exchange.load_markets()  # what an exchange derives from its markets; it asks for nothing
        return now_ns - saved.at_ns > FRESH_NS

    async def fetch(self, exchange: Any, now_ns: int) -> None:
        """Into the exchange and the file."""
        fetched = await exchange.fetch_markets()
        markets = [market for market in fetched if market["symbol"] in self._symbols]
        exchange.set_markets(markets)
        await exchange.load_markets()
        self._write(Saved(now_ns, exchange.id, markets))

    def _read(self, exchange: str, now_ns: int) -> Saved | None:
        try:
            saved = msgspec.json.decode(self._path.read_bytes(), type=Saved)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            self._log.warning("the file of markets cannot be read", error=str(error))
            return None
        there = {market.get("symbol") for market in saved.markets}
        fits = saved.exchange == exchange and self._symbols <= there
        return saved if fits and 0 <= now_ns - saved.at_ns <= MAX_AGE_NS else None

    def _write(self, saved: Saved) -> None:
        """Whole or not at all. A file that cannot be written is only slower the next time."""
        new = self._path.with_suffix(f".{os.getpid()}.new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new.write_bytes(orjson.dumps(msgspec.to_builtins(saved), default=str))
            new.replace(self._path)
        except (OSError, TypeError) as error:
            self._log.warning("the file of markets cannot be written", error=str(error))


class Terms(msgspec.Struct, frozen=True):
    """Steps as the venue states them; None where it states none. `lot` and `contract` are in base, or in quote where
    the contract is inverse."""

    tick: Decimal | None
    lot: Decimal | None
    contract: Decimal | None


def terms_of(market: Any, precision_mode: int) -> Terms:
    """`precision_mode` as ccxt counts it: 2 decimal places, 4 steps; of significant digits no step follows."""

    def step(value: Any) -> Decimal | None:
        if value is None or precision_mode not in (2, 4):
            return None
        return Decimal(1).scaleb(-int(value)) if precision_mode == 2 else Decimal(str(value))

    precision, contract = market["precision"], market.get("contractSize")
    size = None if contract is None else Decimal(str(contract))
    lot = step(precision.get("amount"))
    return Terms(step(precision.get("price")), lot if lot is None else lot * (size or 1), size)


def unreadable(terms: Terms, instrument: Instrument, listing: Listing) -> str:
    """Why the venue's numbers do not fit the instrument's scales; empty where they do."""
    path = f'instruments."{instrument.symbol}"'
    if terms.tick is not None and not _fits(terms.tick, instrument.price_scale):
        return f"the tick {terms.tick:f} needs {path}.price_scale = {_digits(terms.tick)}"
    if terms.lot is not None and not listing.inverse and not _fits(terms.lot, instrument.qty_scale):
        return f"the lot {terms.lot:f} needs {path}.qty_scale = {_digits(terms.lot)}"
    return ""


def differences(terms: Terms, instrument: Instrument, listing: Listing) -> Iterator[str]:
    """What to write in the listing where the configuration says something else than the venue; nothing if it fits."""
    ours: Iterable[tuple[str, Decimal | None, Decimal, Callable[[Decimal], bool]]] = (
        ("tick", terms.tick, instrument.price(listing.tick), lambda step: step == terms.tick),
        (
            "lot",
            None if listing.inverse else terms.lot,
            instrument.qty(listing.lot),
            lambda step: step == terms.lot,
        ),
        (
            "contract_size",
            terms.contract,
            Decimal(listing.contract_size) if listing.inverse else _contract(instrument, listing),
            lambda size: size == terms.contract,
        ),
    )
    for name, theirs, configured, same in ours:
        if theirs is not None and not same(configured):
            yield f'{name} = "{theirs.normalize():f}" instead of "{configured.normalize():f}"'


def _contract(instrument: Instrument, listing: Listing) -> Decimal:
    """In base. A listing whose contract is one unit, or that has none, trades base itself."""
    return Decimal(1) if listing.contract_size == 1 else instrument.qty(listing.contract_size)


def _fits(step: Decimal, scale: int) -> bool:
    try:
        return to_units(step, scale) > 0
    except UnitError:
        return False


def _digits(step: Decimal) -> int:
    exponent = step.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)
