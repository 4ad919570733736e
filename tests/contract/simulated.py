"""The simulated exchange as the contract's other side: its own API on loopback, lit or dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiohttp import web

from bestex import sim_wire as w
from bestex.config import parse
from bestex.messages import Side, Tif
from services.exchange.api import SOCKETS, make_app
from services.exchange.streams import MarketData, UserData
from tests.emulators.server import Emulator

BTC = "BTC/USDT"
LIT = 'tick = "0.01", lot = "0.00001", taker_bps = "10"'
DARK = f'kind = "dark", {LIT}'


class Sim(Emulator):
    """Serves the API of `services.exchange` in place of an exchange's own words."""

    NAME = "sim_a"
    VENUES = f"sim_a = {{ {LIT} }}"

    def __init__(self, data_dir: Path, **named: Any) -> None:
        config = parse(
            f"""
            data_dir = "{data_dir}"
            [venues.sim_a]
            [venues.dark_a]
            [instruments."BTC/USDT"]
            price_scale = 2
            qty_scale = 5
            [instruments."BTC/USDT".venues]
            {self.VENUES}
            [exchange]
            latency = "0s"
            """
        )
        super().__init__(data_dir, config=config, **named)
        exchange = self.engine.exchange
        # What the engine listens with is for the emulators; here the exchange speaks for itself.
        exchange.user_data = UserData()
        exchange.market_data = MarketData(
            (info, exchange.sim.market(info.venue, info.symbol)) for info in exchange.sim.markets()
        )
        self._app: web.Application | None = None

    async def start(self, port: int = 0) -> None:
        self.engine.start()
        self._app = make_app(self.engine.exchange)
        self._runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    def cut(self, user: bool) -> None:
        del user  # one without the other is no session
        assert self._app is not None
        sockets = self._app[SOCKETS]
        for socket in list(sockets):
            transport = socket._req.transport if socket._req else None
            if transport is not None:
                transport.abort()


class Dark(Sim):
    """With a lit venue beside it, in whose middle its orders meet: at the price of the contract."""

    NAME = "dark_a"
    VENUES = f"sim_a = {{ {LIT} }}\n            dark_a = {{ {DARK} }}"

    async def start(self, port: int = 0) -> None:
        await super().start(port)
        for number, (side, price) in enumerate(((Side.BUY, 5_999_999), (Side.SELL, 6_000_001))):
            self.engine.exchange.handle(_lit(number, side, price))


def _lit(number: int, side: Side, price: int) -> Any:

    return w.Submit(
        venue="sim_a",
        account="reference",
        symbol=BTC,
        client_id=f"reference{number}",
        side=side,
        qty=100_000,
        price=price,
        tif=Tif.GTC,
    )
