"""Holdings on the real bus: a gateway process, its stream, and `bestex positions`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from importlib import resources
from pathlib import Path

import pytest
from nats.aio.client import Client

from bestex import bus, holdings, streams
from bestex import config as configuration
from bestex import messages as m
from bestex.errors import Code
from bestex.messages import Side
from bestex.server import NatsServer
from tests.integration.exchange_process import ExchangeProcess
from tests.integration.gateway_process import VENUE, GatewayProcess, History, journal_of, order, publish

D = Decimal
DEPOSITS = '[venues.sim_a.options.deposits]\nBTC = "1"\nUSDT = "1000000"\n'
BESTEX = [sys.executable, "-c", "from bestex.cli.main import main; main()"]
ASKED_S = 30.0


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[ExchangeProcess]:
    process = ExchangeProcess(tmp_path / "exchange")
    process.start()
    yield process
    process.stop()


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    connection = await bus.connect(nats_server.url, "test")
    await streams.apply(connection, configuration.load(None, {}))
    yield connection
    await connection.close()


async def known(client: Client) -> m.AccountHoldings:
    """What the gateway says, as soon as it knows."""
    async with asyncio.timeout(ASKED_S):
        while True:
            for one in await holdings.ask(client, (VENUE,), 0):
                if one.known:
                    return one


async def positions(url: str, path: Path, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *BESTEX,
        "positions",
        *arguments,
        env=os.environ | {"NATS_URL": url, "BESTEX_CONFIG": str(path)},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_what_is_held_survives_a_kill_and_is_shown(
    nats_server: NatsServer, exchange: ExchangeProcess, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "bestex.toml"
    path.write_text((resources.files("bestex") / "default.toml").read_text() + DEPOSITS)
    history = await History().follow(client)
    gateway = GatewayProcess(nats_server.url, exchange.url, tmp_path / "data", BESTEX_CONFIG=str(path))
    try:
        assert (await known(client)).balances == {"BTC": D(1), "USDT": D(1_000_000)}
        await publish(client, order("c2", side=Side.SELL))
        sold = await history.end_of("c2")
        assert isinstance(sold, m.ExecFilled)
        wanted = {"BTC": 1 - sold.cum_qty, "USDT": 1_000_000 + sold.notional - sold.fees}
        assert (await known(client)).balances == wanted

        await publish(client, order("c4", side=Side.SELL, qty=D(5), parent_qty=D(5)))
        refused = await history.end_of("c4")
        assert (type(refused), refused.code) == (m.ExecRejected, Code.NOT_HELD)
        assert not any(o.client_id == "c4" for entry in journal_of(exchange) for o in entry.orders)

        gateway.kill()
        assert gateway.make_checkpoint() == 0
        gateway.start()
        assert (await known(client)).balances == wanted
        code, said = await positions(nats_server.url, path, "--venue", VENUE, "--json")
        [shown] = json.loads(said)["accounts"]
        assert (code, shown["account"], shown["known"]) == (0, VENUE, True)
        assert {name: D(amount) for name, amount in shown["balances"].items()} == wanted
        code, table = await positions(nats_server.url, path, "--venue", VENUE)
        assert code == 0
        assert f"{wanted['BTC']:f}" in table
    finally:
        gateway.stop()
    code, said = await positions(nats_server.url, path)
    assert code == 1
    assert "no gateway that answers" in said


async def test_a_venue_that_is_not_there_is_mistyped(nats_server: NatsServer, tmp_path: Path) -> None:
    path = tmp_path / "bestex.toml"
    path.write_text((resources.files("bestex") / "default.toml").read_text())
    assert (await positions(nats_server.url, path, "--venue", "nowhere"))[0] == 2
