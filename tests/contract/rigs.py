"""Every venue as the contract test sees it: an adapter that is connected, and the venue's own side of it.

A rig names the venue, makes its emulator, and its configuration with the venue's address and keys. What the contract
asks of the emulator it asks of its engine, so that the venue's truth is never read through the wire that is tested.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from bestex import sim_wire as w
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
from tests.emulators.okx import Okx
from tests.emulators.server import Emulator, Key, serve

CLOCK = AffineClock()
PATIENCE_S = 10.0
OTHER = "other"  # the account of whoever our orders meet


@dataclass(frozen=True)
class Rig:
    """`listing`: the terms in the configuration, as TOML. `extra`: of the venue's section. Prices near `price`."""

    venue: str
    make: Callable[..., Emulator]
    symbol: str  # at the venue, unified
    listing: str
    price_scale: int = 2
    qty_scale: int = 6
    price: Decimal = Decimal(60_000)
    qty: Decimal = Decimal("0.01")
    adapter: str = "ccxt"
    secrets: tuple[str, ...] = (Key().key, Key().secret, Key().passphrase)

    def __str__(self) -> str:
        return self.venue

    def config(self, url: str, folder: Path, timeout: str = "2s") -> Config:
        folder.mkdir(exist_ok=True)
        keys = folder / f"{self.venue}.toml"
        if not keys.exists():
            keys.touch(mode=0o600)
            lines = zip(("key", "secret", "passphrase"), self.secrets, strict=True)
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
            [instruments."BTC/USDT"]
            price_scale = {self.price_scale}
            qty_scale = {self.qty_scale}
            [instruments."BTC/USDT".venues]
            {self.venue} = {{ symbol = "{self.symbol}", {self.listing} }}
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

SIM = Rig("sim_a", Sim, "BTC/USDT", simulated.LIT, qty_scale=5, adapter="sim")
SIM_DARK = Rig("dark_a", Dark, "BTC/USDT", simulated.DARK, qty_scale=5, adapter="sim")

RIGS = [SIM, SIM_DARK, BINANCE_SPOT, BINANCE_PERP, BYBIT_SPOT, BYBIT_PERP, OKX_SPOT, OKX_PERP]


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

    # -- the venue's own side ----------------------------------------------------------------------------------

    def others(self, side: Side, off: int = 0, qty: Decimal | None = None) -> w.Answer:
        """Somebody else's order, in the engine itself."""
        price = self.rig.price + side.sign * off * self.instrument.price(self.listing.tick)
        answer = self.emulator.engine.submit(OTHER, self.rig.symbol, side, qty or self.rig.qty, price)
        assert answer.ok, answer.text
        return answer

    def there(self, child_id: str) -> w.OrderState | None:
        """The venue's truth."""
        return self.emulator.engine.order("default", client_id=child_id)


@asynccontextmanager
async def desk_of(
    rig: Rig, folder: Path, timeout: str = "2s", connect: bool = True, **made: Any
) -> AsyncIterator[Desk]:
    """Without `connect`, whoever drives its adapter connects it, and lets go of it."""
    async with serve(rig.make(folder / "venue", market="none", **made)) as emulator:
        desk = Desk(rig, emulator, rig.config(emulator.url, folder, timeout))
        if not connect:
            yield desk
            return
        await desk.venue.connect(desk.hear, CLOCK.now_ns)
        try:
            await desk.up()
            yield desk
        finally:
            await desk.venue.disconnect()
