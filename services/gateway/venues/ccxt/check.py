"""A look at an exchange of ccxt that sends no order: `bestex venues check`.

Each thing is looked at by itself, so that one that is wrong hides no other; what needs an answer that did not come is
said to be unknown. Nothing that is said holds a key.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import ccxt

from bestex import ccxt_client
from bestex.clock import MS
from bestex.config import Config
from bestex.errors import ConfigError
from bestex.instruments import BPS_E8, FEE_ONE, Listing
from bestex.keys import Keys
from bestex.units import UnitError
from bestex.venues import Found, Say, Verdict
from services.gateway.venues.ccxt import outcomes, rights
from services.gateway.venues.ccxt.quirks import quirk_of
from services.gateway.venues.ccxt.terms import Market, decimal, stated

TIMEOUT_S = 10.0
OFFSET_WRONG_MS = 1_000  # exchanges refuse what comes from more than a second ahead
OFFSET_WARNED_MS = 250  # ages of books and deadlines of orders are off by that much


async def check(name: str, config: Config, say: Say) -> None:
    """Says what it finds as soon as it is found."""
    keys = _keys(name, config, say)
    exchange = ccxt_client.create(name, config, TIMEOUT_S, keys)
    try:
        exchange.options |= quirk_of(*ccxt_client.exchange_of(name)).options
        await _Look(name, config, keys, exchange, say).all()
    finally:
        await exchange.close()


def _keys(name: str, config: Config, say: Say) -> Keys | None:
    try:
        keys = ccxt_client.keys_of(name, config)
        if keys is not None:
            keys.get("key"), keys.get("secret")
    except ConfigError as error:
        say(Found(what="keys", verdict=Verdict.WRONG, text=str(error)))
        return None
    if keys is None:
        verdict = Verdict.WRONG if config.venues[name].is_live else Verdict.UNKNOWN
        text = "there are no keys, so that only what is public can be looked at"
        say(Found(what="keys", verdict=verdict, text=text, write=f'[venues.{name}] keys = "FILE"'))
        return None
    say(Found(what="keys", verdict=Verdict.OK, text=f"{keys.path} can be read by nobody else"))
    return keys


class _Look:
    def __init__(self, name: str, config: Config, keys: Keys | None, exchange: Any, say: Say) -> None:
        self._name, self._keys, self._exchange, self._tell = name, keys, exchange, say
        _, self._market_type = ccxt_client.exchange_of(name)
        self._markets = [
            Market(instrument, listing)
            for instrument in config.make_instruments().all
            if (listing := instrument.listing(name)) is not None
        ]

    async def all(self) -> None:
        if not await self._clock() or not await self._terms() or self._keys is None:
            return
        if await self._balance():
            await self._rights()
            await self._fees()

    # -- words -------------------------------------------------------------------------------------------------

    def _say(self, what: str, verdict: Verdict, text: str, code: str = "", write: str = "") -> None:
        self._tell(Found(what=what, verdict=verdict, text=text, code=code, write=write))

    def _failed(self, what: str, error: Exception) -> None:
        text = outcomes.text_of(error, str if self._keys is None else self._keys.redact)
        match error:
            case ccxt.PermissionDenied():
                text = f"the venue does not let the key do this: rights, or the address that it is used from; {text}"
            case ccxt.AuthenticationError():
                text = f"the venue refuses the key: key, secret or passphrase is wrong, or not of this venue; {text}"
            case ccxt.NetworkError() if outcomes.never_left(error):
                text = f"nothing answers at its address; {text}"
            case ccxt.NetworkError():
                text = f"the venue did not answer; {text}"
        self._say(what, Verdict.WRONG, text)

    # -- what is looked at -------------------------------------------------------------------------------------

    async def _clock(self) -> bool:
        """Whether the venue answers at all."""
        if not self._exchange.has.get("fetchTime"):
            self._say("clock", Verdict.UNKNOWN, "the venue tells no time")
            return True
        before_ms = time.time_ns() / MS
        try:
            venue_ms = await self._exchange.fetch_time()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what was to be found
            self._failed("connection", error)
            return False
        after_ms = time.time_ns() / MS
        self._say("connection", Verdict.OK, f"answers within {after_ms - before_ms:.0f} ms")
        ahead_ms, doubt_ms = venue_ms - (before_ms + after_ms) / 2, (after_ms - before_ms) / 2
        verdict = Verdict.OK
        text = f"the venue's clock is {ahead_ms:+.0f} ms from ours, give or take {doubt_ms:.0f} ms"
        if abs(ahead_ms) - doubt_ms > OFFSET_WARNED_MS:
            verdict = Verdict.WRONG if abs(ahead_ms) - doubt_ms > OFFSET_WRONG_MS else Verdict.WARNING
            text += "; set this machine's clock (NTP)"
        self._say("clock", verdict, text)
        if self._keys is not None:
            await self._exchange.load_time_difference()
        return True

    async def _terms(self) -> bool:
        try:
            await self._exchange.load_markets()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what was to be found
            self._failed("markets", error)
            return False
        for market in self._markets:
            what, path = f"terms {market.symbol}", f'instruments."{market.instrument.symbol}"'
            terms = self._exchange.markets.get(market.symbol)
            if terms is None:
                self._say(what, Verdict.WRONG, f"the venue does not list {market.symbol}")
                continue
            try:
                theirs = stated(market, terms)
            except UnitError as error:
                text = f"{path}.price_scale and qty_scale are too coarse for the venue: {error}"
                self._say(what, Verdict.WRONG, text)
                continue
            wrong = list(_differences(market, theirs, terms))
            for verdict, text, write in wrong:
                self._say(what, verdict, text, write=f"{path}.venues.{self._name}: {write}")
            if not wrong:
                self._say(what, Verdict.OK, "tick, lot and minimums are those of the configuration")
        return True

    async def _balance(self) -> bool:
        try:
            found = await self._exchange.fetch_balance()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what was to be found
            self._failed("account", error)
            return False
        wanted = dict.fromkeys(name for market in self._markets for name in (market.base, market.quote))
        held = {name: decimal(found["total"].get(name) or 0) for name in wanted}
        text = ", ".join(f"{name} {amount:f}" for name, amount in held.items())
        if any(held.values()):
            self._say("account", Verdict.OK, text)
        else:
            self._say("account", Verdict.WARNING, f"there is nothing to trade with: {text}")
        return True

    async def _rights(self) -> None:
        try:
            found = await rights.ask(self._exchange, self._market_type)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what was to be found
            self._failed("rights", error)
            return
        if found is None:
            text = "cannot be checked: this venue does not say what a key may do; look there that it may not withdraw"
            self._say("rights", Verdict.UNKNOWN, text)
            return
        problems = list(rights.problems(found))
        for code, text in problems:
            self._say("rights", Verdict.WRONG, text, code)
        if not problems:
            self._say("rights", Verdict.OK, "the key may trade, and may not withdraw")
        if found.bound is None:
            self._say("address", Verdict.UNKNOWN, "the venue does not say from where the key may be used")
        elif found.bound:
            self._say("address", Verdict.OK, "the key may be used from given addresses alone")
        else:
            text = "the key may be used from anywhere; bind it to this machine's address at the venue"
            self._say("address", Verdict.WARNING, text)

    async def _fees(self) -> None:
        for market in self._markets:
            what = f"fees {market.symbol}"
            try:
                told = await self._exchange.fetch_trading_fee(market.symbol)
                taker, maker = (int(decimal(told[side]) * FEE_ONE) for side in ("taker", "maker"))
            except ccxt.NotSupported:
                self._say(
                    what, Verdict.UNKNOWN, "cannot be checked: this venue does not tell the account's fees"
                )
                continue
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what was to be found
                self._failed(what, error)
                continue
            own = market.listing
            if (taker, maker) == (own.taker_fee_e8, own.maker_fee_e8):
                self._say(what, Verdict.OK, f"{_bps(taker)} bps to take, {_bps(maker)} to make")
                continue
            text = (
                f"the account pays {_bps(taker)} bps to take and {_bps(maker)} to make, "
                f"not {_bps(own.taker_fee_e8)} and {_bps(own.maker_fee_e8)}"
            )
            write = f'taker_bps = "{_bps(taker)}", maker_bps = "{_bps(maker)}"'
            path = f'instruments."{market.instrument.symbol}".venues.{self._name}'
            self._say(what, Verdict.WRONG, text, write=f"{path}: {write}")


def _bps(fee_e8: int) -> str:
    return f"{(Decimal(fee_e8) / BPS_E8).normalize():f}"


def _differences(market: Market, theirs: Listing, terms: Any) -> Iterator[tuple[Verdict, str, str]]:
    """What is otherwise than configured: how bad that is, a sentence, and what to write."""
    ours, instrument = market.listing, market.instrument
    size = terms.get("contractSize")
    if size is not None and terms.get("contract") and not ours.inverse:
        configured = Decimal(1) if ours.contract_size == 1 else instrument.qty(ours.contract_size)
        if decimal(size) != configured:
            text = f"a contract is {decimal(size):f}, not {configured:f}"
            yield Verdict.WRONG, text, f'contract_size = "{decimal(size).normalize():f}"'
            return  # all that counts contracts is off by that
    steps = (
        ("tick", instrument.price(ours.tick), instrument.price(theirs.tick)),
        ("lot", instrument.qty(ours.lot), instrument.qty(theirs.lot)),
    )
    for name, own, real in steps:
        if own != real:
            text = f"the venue's {name} is {real.normalize():f}, not {own.normalize():f}"
            yield Verdict.WRONG, text, f'{name} = "{real.normalize():f}"'
    least = (
        ("min_qty", instrument.qty(ours.min_qty), instrument.qty(theirs.min_qty)),
        ("min_notional", instrument.cash(ours.min_notional), instrument.cash(theirs.min_notional)),
    )
    for name, own, real in least:
        if own < real:
            text = f"the venue refuses orders below its {name} of {real.normalize():f}, we only those below {own:f}"
            yield Verdict.WRONG, text, f'{name} = "{real.normalize():f}"'
        elif own > real:
            text = f"the venue's {name} is {real.normalize():f}, less than our {own.normalize():f}"
            yield Verdict.WARNING, text, f'{name} = "{real.normalize():f}"'
    if theirs.max_qty and (not ours.max_qty or ours.max_qty > theirs.max_qty):
        most = instrument.qty(theirs.max_qty).normalize()
        yield Verdict.WARNING, f"the venue takes {most:f} in one order at most", f'max_qty = "{most:f}"'
