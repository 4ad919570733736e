"""Books as listeners have them, and a wallet with spot and perpetuals."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from bestex.messages import Side
from tests.emulators.engine import Engine, Levels, Snapshot
from tests.emulators.okx import Okx
from tests.emulators.server import serve
from tests.emulators.unified import Position, View, Wallet, affords, text
from tests.unit.emulators.talking import PERP, SPOT, quote

D = Decimal


@pytest.mark.parametrize(
    ("number", "shown"), [("1E+3", "1000"), ("0.10", "0.1"), ("100", "100"), ("1E-8", "0.00000001")]
)
def test_numbers_are_plain_text(number: str, shown: str) -> None:
    assert text(D(number)) == shown


def levels(*given: tuple[int, int]) -> Levels:
    return [(D(price), D(qty)) for price, qty in given]


def book(*bids: tuple[int, int]) -> Snapshot:
    return Snapshot(1, levels(*bids), [])


def test_a_level_that_leaves_the_depth_is_told_as_gone_and_comes_back_whole() -> None:
    view = View(2, book((99, 1), (98, 2)))
    assert view.update(book((100, 5), (99, 1))) == (levels((98, 0), (100, 5)), [])
    assert view.update(book((99, 1), (98, 2))) == (levels((100, 0), (98, 2)), [])
    assert view.update(book((99, 1), (98, 2))) == ([], [])


@pytest.mark.parametrize(
    ("trades", "position"),
    [
        ([(2, 100), (2, 110)], (4, 105, 0)),
        ([(2, 100), (-1, 110)], (1, 100, 10)),
        ([(2, 100), (-2, 90)], (0, 0, -20)),
        ([(2, 100), (-3, 110)], (-1, 110, 20)),
        ([(-2, 100), (1, 90)], (-1, 100, 10)),
    ],
)
def test_a_position_has_its_average_price_and_its_gain(
    trades: list[tuple[int, int]], position: tuple[int, int, int]
) -> None:
    held = Position()
    for qty, price in trades:
        held = held.traded(D(qty), D(price))
    assert held == tuple(map(D, position))


async def test_the_wallet_is_what_was_deposited_and_what_trading_moved(tmp_path: Path) -> None:
    async with serve(Okx(tmp_path, market="none", deposits={"USDT": D(1_000)})) as emulator:
        engine: Engine = emulator.engine
        quote(emulator, SPOT, "99", "100")
        quote(emulator, PERP, "99", "100")
        engine.submit("default", SPOT, Side.BUY, D(1), D(100))
        engine.submit("default", PERP, Side.BUY, D(1), D(100))
        engine.submit("default", PERP, Side.SELL, D(1), D(99))
        held = Wallet(engine, "default").holdings
        assert held["BTC"].free == D("0.999"), "a tenth of a percent of what was bought"
        fees = D(100) * D("0.0005") + D(99) * D("0.0005")
        assert held["USDT"].free == 1_000 - 100 - 1 - fees
        engine.submit("default", SPOT, Side.SELL, D("0.999"), D(200))
        assert Wallet(engine, "default").free("BTC") == 0
        assert not affords(engine, "default", SPOT, Side.SELL, D("0.00001"), D(200))
        assert affords(engine, "default", PERP, Side.SELL, D(80), D(100))
        assert not affords(engine, "default", PERP, Side.SELL, D(90), D(100))


async def test_closing_a_position_needs_no_money(tmp_path: Path) -> None:
    async with serve(Okx(tmp_path, market="none", deposits={"USDT": D(11)})) as emulator:
        quote(emulator, PERP, "99", "100")
        assert affords(emulator.engine, "default", PERP, Side.BUY, D(1), D(100))
        emulator.engine.submit("default", PERP, Side.BUY, D(1), D(100))
        assert not affords(emulator.engine, "default", PERP, Side.BUY, D(1), D(100))
        assert affords(emulator.engine, "default", PERP, Side.SELL, D(1), D(100))
        assert not affords(emulator.engine, "default", PERP, Side.SELL, D(2), D(100))
