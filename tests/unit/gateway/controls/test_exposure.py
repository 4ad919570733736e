"""Limits of position and open value, at their worst; and what is not to be traded at all."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bestex.clock import SECOND
from bestex.errors import Code
from bestex.messages import Side, Tif
from services.gateway import port as p
from tests.unit.gateway.bench import Bench, closed, fill
from tests.unit.gateway.controls.controlled import again, code_of, limited

NO_STP = "[limits.self_trade]\npolicy = 'off'\n"


def sent(bench: Bench, child_id: str, qty: str, side: Side = Side.BUY, **more: Any) -> Code | None:
    bench.now += SECOND
    return code_of(bench, child_id, qty=Decimal(qty), side=side, **more)


def position(most: str, **named: str) -> Bench:
    names = "".join(f'{key} = "{value}"\n' for key, value in named.items())
    return limited(f'{NO_STP}[[limits.exposure]]\nsymbol = "BTC/USDT"\nmax_position = "{most}"\n{names}')


def test_open_buys_count_as_bought_and_open_sells_do_not_make_room() -> None:
    bench = position("1")
    assert sent(bench, "c1", "0.6") is None
    assert sent(bench, "s1", "0.6", Side.SELL) is None
    assert sent(bench, "c2", "0.5") is Code.POSITION_LIMIT
    assert sent(bench, "c3", "0.4") is None
    assert sent(bench, "s2", "0.5", Side.SELL) is Code.POSITION_LIMIT
    assert sent(bench, "s3", "0.4", Side.SELL) is None


def test_unknown_children_count_whole_until_there_is_evidence() -> None:
    bench = position("1")
    sent(bench, "c1", "0.6")
    bench.hear(p.VenueUnknown(child_id="c1", code=Code.TIMEOUT, text=""), fill("t1", 10_000))
    assert sent(bench, "c2", "0.5") is Code.POSITION_LIMIT
    bench.hear(closed("expired", 10_000))
    assert sent(bench, "c3", "0.9") is None


def test_what_was_traded_is_held_after_a_restart() -> None:
    bench = position("1")
    sent(bench, "c1", "0.6")
    bench.hear(fill("t1", 60_000), closed("filled", 60_000))
    assert sent(again(bench), "c2", "0.5") is Code.POSITION_LIMIT
    assert sent(bench, "s1", "1.6", Side.SELL) is None


def test_what_was_held_before_is_configured_and_the_way_back_is_open() -> None:
    bench = position("1", start_position="3")
    assert sent(bench, "c1", "0.001") is Code.POSITION_LIMIT
    assert sent(bench, "s1", "4", Side.SELL) is None
    assert sent(bench, "s2", "0.001", Side.SELL) is Code.POSITION_LIMIT


@pytest.mark.parametrize(("named", "held"), [({"account": "a"}, False), ({"venue": "sim_a"}, True)])
def test_a_limit_is_of_what_it_names(named: dict[str, str], held: bool) -> None:
    bench = position("1", **named)
    assert sent(bench, "c1", "0.9", account="a") is None
    assert sent(bench, "c2", "0.9", account="b") is (Code.POSITION_LIMIT if held else None)
    assert sent(bench, "c3", "0.9", account="a") is Code.POSITION_LIMIT


def test_open_orders_may_be_worth_so_much_together() -> None:
    bench = limited(f'{NO_STP}[[limits.exposure]]\nmax_open_value = "60000"\n')
    assert sent(bench, "c1", "0.6") is None
    assert sent(bench, "s1", "0.4", Side.SELL) is None
    assert sent(bench, "c2", "0.001") is Code.OPEN_VALUE_LIMIT
    bench.hear(closed("expired", 0))
    assert sent(again(bench), "c3", "0.6") is None


def restricted(line: str) -> Bench:
    return limited(f'{NO_STP}[[limits.restricted]]\nsymbol = "BTC/USDT"\n{line}\n')


@pytest.mark.parametrize(
    ("line", "buy", "sell"),
    [
        ("", Code.RESTRICTED, Code.RESTRICTED),
        ('what = "buy"', Code.RESTRICTED, None),
        ('what = "sell"', None, Code.RESTRICTED),
        ('account = "other"', None, None),
        ('account = "default"\nreason = "insider list"', Code.RESTRICTED, Code.RESTRICTED),
    ],
)
def test_what_is_restricted_is_not_traded(line: str, buy: Code | None, sell: Code | None) -> None:
    bench = restricted(line)
    assert sent(bench, "c1", "0.1") is buy
    assert sent(bench, "c2", "0.1", Side.SELL) is sell


def test_what_is_not_held_is_not_sold_short_and_what_is_held_is_sold() -> None:
    bench = restricted('what = "short"')
    assert sent(bench, "s1", "0.1", Side.SELL) is Code.RESTRICTED
    sent(bench, "c1", "0.1", tif=Tif.GTC)
    assert sent(bench, "s2", "0.1", Side.SELL) is Code.RESTRICTED, "an open buy is not held yet"
    bench.hear(fill("t1", 10_000))
    assert sent(bench, "s3", "0.06", Side.SELL) is None
    assert sent(bench, "s4", "0.06", Side.SELL) is Code.RESTRICTED, "an open sell may have sold it"
    assert sent(bench, "s5", "0.04", Side.SELL) is None
