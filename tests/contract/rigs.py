"""Every venue as the contract test sees it: an adapter that is connected, and the venue's own side of it.

A rig names the venue, makes its emulator, and its configuration with the venue's address and keys. What the contract
asks of the emulator it asks of its engine, so that the venue's truth is never read through the wire that is tested.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from bestex import sim_wire as w
from bestex.budget import Gate
from bestex.clock import SECOND, AffineClock
from bestex.config import Config, parse
from bestex.instruments import Instrument, Listing
from bestex.messages import Side, Tif
from bestex.plugins import GATEWAYS, load
from services.gateway import port as p
from tests.contract import simulated
from tests.contract.simulated import Dark, Sim
from tests.emulators.binance import Binance
from tests.emulators.binance_perp import BinancePerp
from tests.emulators.bybit import Bybit
from tests.emulators.coinbase import Coinbase
from tests.emulators.coinbase_keys import make_key
from tests.emulators.kis import Kis
from tests.emulators.kis_wire import account_number
from tests.emulators.kraken import Kraken
from tests.emulators.kraken_rest import KEY as KRAKEN_KEY
from tests.emulators.okx import Okx
from tests.emulators.server import Emulator, Key, serve
from tests.waiting import until

CLOCK = AffineClock()
PATIENCE_S = 10.0
PLENTY = Decimal(1_000_000_000)
SHARES = Decimal(100_000)
OTHER = "other"  # the account of whoever our orders meet


@dataclass(frozen=True)
class Rig:
    """`listing`: the terms in the configuration, as TOML. `listed`: the symbol there, where it is not the engine's;
    `secrets` stand in the keys' file under `names`. Prices near `price`."""

    venue: str
    make: Callable[..., Emulator]
    symbol: str  # at the venue, unified
    listing: str
    price_scale: int = 2
    qty_scale: int = 6
    price: Decimal = Decimal(60_000)
    qty: Decimal = Decimal("0.01")
    adapter: str = "ccxt"
    entry: str = "websocket"  # how orders go out, where the venue has both
    secrets: tuple[str, ...] = (Key().key, Key().secret, Key().passphrase)
    names: tuple[str, ...] = ("key", "secret", "passphrase")
    listed: str = ""

    def __str__(self) -> str:
        return self.venue if self.entry == "websocket" else f"{self.venue}-{self.entry}"

    @property
    def deposits(self) -> dict[str, Decimal]:
        """Plenty of quote, and of shares, which nobody has to be without."""
        shares = {self.base: SHARES} if self.adapter == "kis" else {}
        return {self.quote: PLENTY, **shares}

    @property
    def base(self) -> str:
        return self.symbol.partition("/")[0]

    @property
    def quote(self) -> str:
        return self.symbol.partition("/")[2].partition(":")[0]

    def config(self, url: str, folder: Path, timeout: str = "2s") -> Config:
        folder.mkdir(exist_ok=True)
        keys = folder / f"{self.venue}.toml"
        if not keys.exists():
            keys.touch(mode=0o600)
            lines = zip(self.names, self.secrets, strict=True)
            keys.write_text("\n".join(f'{name} = "{value}"' for name, value in lines))
        return parse(
            f"""
            data_dir = "{folder}"
            [venues.{self.venue}]
            adapter = "{self.adapter}"
            mode = "live"
            native_replace = true
            keys = "{keys}"
            url = "{url}"
            {f'options = {{ order_entry = "{self.entry}" }}' if self.adapter == "ccxt" else ""}
            [instruments."BTC/USDT"]
            price_scale = {self.price_scale}
            qty_scale = {self.qty_scale}
            [instruments."BTC/USDT".venues]
            {self.venue} = {{ symbol = "{self.listed or self.symbol}", {self.listing} }}
            [execution]
            timeout = "{timeout}"
            [limits.collar]
            enabled = false
            [limits.self_trade]
            policy = "off"
            """
        )


BYBIT_SPOT = Rig(
    "bybit_spot", Bybit, "BTC/USDT", 'tick = "0.01", lot = "0.000001", min_qty = "0.000048", taker_bps = "10"'
)
BYBIT_PERP = Rig(
    "bybit_perp",
    Bybit,
    "BTC/USDT:USDT",
    'kind = "perp", tick = "0.1", lot = "0.001", taker_bps = "5.5"',
    qty_scale=3,
)

OKX_SPOT = Rig(
    "okx_spot",
    Okx,
    "BTC/USDT",
    'tick = "0.1", lot = "0.00000001", min_qty = "0.00001", taker_bps = "10"',
    price_scale=1,
    qty_scale=8,
)
OKX_PERP = Rig(
    "okx_perp",
    Okx,
    "BTC/USDT:USDT",
    'kind = "perp", tick = "0.1", lot = "0.0001", contract_size = "0.01", taker_bps = "5"',
    price_scale=1,
    qty_scale=5,
)
BINANCE_SPOT = Rig(
    "binance_spot",
    Binance,
    "BTC/USDT",
    'tick = "0.01", lot = "0.00001", min_notional = "5", taker_bps = "10"',
    qty_scale=5,
)

BINANCE_PERP = Rig(
    "binance_perp",
    BinancePerp,
    "BTC/USDT:USDT",
    'kind = "perp", tick = "0.1", lot = "0.001", min_notional = "100", taker_bps = "5"',
    price_scale=1,
    qty_scale=3,
)


def _kis(exchange: str, symbol: str, listed: str, listing: str, **terms: Any) -> Rig:
    return Rig(
        f"kis_{exchange.lower()}",
        partial(Kis, exchange=exchange, sessions=False),
        symbol,
        listing,
        listed=listed,
        qty_scale=0,
        qty=Decimal(10),
        adapter="kis",
        names=("key", "secret", "hts_id", "account"),
        secrets=(Key().key, Key().secret, Key().passphrase, account_number("default")),
        **terms,
    )


KIS_TERMS: dict[str, Any] = {"price_scale": 0, "price": Decimal(70_000)}
KIS_KRX = _kis("KRX", "005930/KRW", "005930", 'tick = "100", lot = "1", taker_bps = "1.5"', **KIS_TERMS)
KIS_NXT = _kis("NXT", "005930/KRW", "005930", 'tick = "100", lot = "1", taker_bps = "1.45"', **KIS_TERMS)
KIS_US = _kis(
    "US",
    "AAPL/USD",
    "NASD:AAPL",
    'tick = "0.01", lot = "1", taker_bps = "7"',
    price_scale=4,
    price=Decimal(230),
)
KIS = [KIS_KRX, KIS_NXT, KIS_US]

NONCE_WINDOW = 10_000  # as its quirk says that the key should have
CALL_LIMIT = (
    10_000  # the clock of the matrix jumps to the next question, and the emulator's counters do not decay
)


def _kraken(*arguments: Any, **named: Any) -> Kraken:
    return Kraken(*arguments, nonce_window=NONCE_WINDOW, call_limit=CALL_LIMIT, **named)


KRAKEN_SPOT = Rig(
    "kraken_spot",
    _kraken,
    "BTC/USDT",
    'tick = "0.1", lot = "0.00000001", min_qty = "0.00005", min_notional = "0.5", taker_bps = "40"',
    price_scale=1,
    qty_scale=8,
    secrets=(KRAKEN_KEY.key, KRAKEN_KEY.secret, KRAKEN_KEY.passphrase),
)

PER_SECOND = 10_000  # requests, for the same reason


def _coinbase(*arguments: Any, **named: Any) -> Coinbase:
    return Coinbase(*arguments, per_second=PER_SECOND, **named)


COINBASE_SPOT = Rig(
    "coinbase_spot",
    _coinbase,
    "BTC/USDT",
    'tick = "0.01", lot = "0.00000001", min_qty = "0.00000001", min_notional = "1", taker_bps = "80"',
    qty_scale=8,
    secrets=(make_key().key, make_key().secret.replace("\n", "\\n"), make_key().passphrase),
)

SIM = Rig("sim_a", Sim, "BTC/USDT", simulated.LIT, qty_scale=5, adapter="sim")
SIM_DARK = Rig("dark_a", Dark, "BTC/USDT", simulated.DARK, qty_scale=5, adapter="sim")

# The same venues where orders go over REST.
BY_REST = [replace(rig, entry="rest") for rig in (BINANCE_SPOT, BINANCE_PERP, BYBIT_PERP, OKX_SPOT)]
RIGS = [SIM, SIM_DARK, BINANCE_SPOT, BINANCE_PERP, BYBIT_SPOT, BYBIT_PERP, OKX_SPOT, OKX_PERP]
RIGS += [KRAKEN_SPOT, COINBASE_SPOT, *BY_REST, *KIS]


class Desk:
    """An adapter that is connected, its emulator, and what was said out of turn."""

    def __init__(self, rig: Rig, emulator: Emulator, config: Config) -> None:
        self.rig, self.emulator, self.config = rig, emulator, config
        instrument = config.make_instruments().by_symbol["BTC/USDT"]
        listing = instrument.listing(rig.venue)
        assert listing is not None
        self.instrument: Instrument = instrument
        self.listing: Listing = listing
        self.venue: p.Venue = load(GATEWAYS, rig.adapter)(rig.venue, config, CLOCK)
        self.said: list[Any] = []
        self._news = asyncio.Event()

    def hear(self, said: Any) -> None:
        self.said.append(said)
        self._news.set()

    async def until(self, wanted: Callable[[Any], bool], since: int = 0) -> Any:
        """The first of what was said since then that is wanted."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for one in self.said[since:]:
                    if wanted(one):
                        return one
                self._news.clear()
                await self._news.wait()

    async def up(self, since: int = 0) -> None:
        await self.until(lambda one: isinstance(one, p.SessionState) and one.state is p.Session.UP, since)

    # -- our orders --------------------------------------------------------------------------------------------

    def order(self, child_id: str, side: Side = Side.BUY, off: int = 0, **more: Any) -> p.Submit:
        """`off`: ticks away from the rig's price, towards the market where above zero."""
        later_ns = CLOCK.now_ns() + 5 * SECOND
        usual: dict[str, Any] = {
            "venue": self.rig.venue,
            "symbol": "BTC/USDT",
            "child_id": child_id,
            "side": side,
            "qty": self.instrument.qty_units(self.rig.qty),
            "price": self.instrument.price_units(self.rig.price) + side.sign * off * self.listing.tick,
            "tif": Tif.GTC,
            "post_only": False,
            "deadline_ns": later_ns,
            "good_till_ns": later_ns + 60 * SECOND,
        }
        return p.Submit(**{**usual, **more})

    def cancel(self, child_id: str, venue_order_id: str = "") -> p.Cancel:
        return p.Cancel(
            venue=self.rig.venue, symbol="BTC/USDT", child_id=child_id, venue_order_id=venue_order_id
        )

    def query(
        self, child_id: str, endpoint: p.Endpoint, venue_order_id: str = "", **more: Any
    ) -> p.QueryOrder:
        return p.QueryOrder(
            venue=self.rig.venue,
            symbol="BTC/USDT",
            child_id=child_id,
            venue_order_id=venue_order_id,
            endpoint=endpoint,
            since_ns=CLOCK.now_ns() - 60 * SECOND,
            **more,
        )

    async def both(self, child_id: str, venue_order_id: str = "", **more: Any) -> list[Any]:
        """What each of the two endpoints says in the end."""
        asked = [
            await self.venue.query_order(self.query(child_id, endpoint, venue_order_id, **more))
            for endpoint in (p.Endpoint.ORDER, p.Endpoint.LISTS)
        ]
        return [answer[-1] for answer in asked]

    def now_or_never(self) -> Tif:
        """What an order is that is to take: at venues without such orders, one that rests if it cannot."""
        return Tif.IOC if Tif.IOC in self.venue.capabilities.tifs else Tif.GTC

    def gate(self) -> Gate | None:
        """The adapter's gate to the venue's limits; None before there is one."""
        venue: Any = self.venue
        gate: Gate | None = venue._client.gate if self.rig.adapter == "kis" else venue._limits.gate
        return gate

    async def forget_connections(self) -> None:
        """The adapter's next request needs a new connection; its streams stay."""
        venue: Any = self.venue
        if self.rig.adapter == "kis":
            for waiting in venue._client.session.connector._conns.values():
                for connection, _ in waiting:
                    connection.close()
        else:
            await venue._session.exchange.session.close()
            venue._session.exchange.session = None

    # -- the venue's own side ----------------------------------------------------------------------------------

    def others(self, side: Side, off: int = 0, qty: Decimal | None = None) -> w.Answer:
        """Somebody else's order, in the engine itself."""
        price = self.rig.price + side.sign * off * self.instrument.price(self.listing.tick)
        answer = self.emulator.engine.submit(OTHER, self.rig.symbol, side, qty or self.rig.qty, price)
        assert answer.ok, answer.text
        return answer

    def there(self, child_id: str) -> w.OrderState | None:
        """The venue's truth: under its id, or the last order where the venue takes no ids."""
        if not self.venue.capabilities.client_id_length:
            return next(reversed(self.emulator.engine.orders("default")), None)
        return self.emulator.engine.order("default", client_id=child_id)


@asynccontextmanager
async def desk_of(
    rig: Rig, folder: Path, timeout: str = "2s", connect: bool = True, **made: Any
) -> AsyncIterator[Desk]:
    """Without `connect`, whoever drives its adapter connects it, and lets go of it. Its account has the rig's
    `deposits`, unless others are named."""
    made = {"deposits": rig.deposits, **made}
    async with serve(rig.make(folder / "venue", market="none", **made)) as emulator:
        desk = Desk(rig, emulator, rig.config(emulator.url, folder, timeout))
        if not connect:
            yield desk
            return
        await desk.venue.connect(desk.hear, CLOCK.now_ns)
        try:
            await desk.up()
            await until(lambda: emulator.tells("default"))
            yield desk
        finally:
            await desk.venue.disconnect()
