"""`[limits]`: safe where nothing is written, and refused with its path where it is wrong."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bestex import config
from bestex.errors import ConfigError
from tests.unit.gateway.controls.controlled import MARKET


def test_without_a_line_the_controls_are_on() -> None:
    limits = config.load(None, {}).limits
    assert limits.collar.enabled
    assert limits.collar.max_age > limits.max_book_age, "what the router has just decided is not refused"
    assert limits.self_trade.policy == "reject_new"


def test_an_instruments_own_limit_goes_before_the_general_one() -> None:
    text = '[limits]\nmax_order_qty = "5"\nmax_order_value = "100"\n'
    limits = config.parse(MARKET + text + '[limits.instruments."BTC/USDT"]\nmax_order_qty = "2"\n').limits
    assert limits.of_order("BTC/USDT").max_order_qty == 2
    assert limits.of_order("BTC/USDT").max_order_value == Decimal(100)
    assert limits.of_order("ETH/USDT").max_order_qty == 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[limits.collar]\nmax_distance = '0%'", "limits.collar.max_distance: must be above 0%"),
        ("[limits.collar]\nmax_distance = '100%'", "limits.collar.max_distance: must be above 0%"),
        ("[limits.collar]\nmax_age = '0s'", "limits.collar.max_age: must be longer than nothing"),
        ("[limits.collar]\nage = '5s'", "limits.collar: Object contains unknown field `age`"),
        ("[limits.rate]\nper_second = 0", "limits.rate.per_second: "),
        ("[limits.rate]\nburst = 0", "limits.rate.burst: "),
        ("[limits.rates.sim_z]\nburst = 1", "limits.rates.sim_z: there is no such venue; there are sim_a"),
        ("[limits.repeats]\nmax_same = 0", "limits.repeats.max_same: "),
        ("[limits.repeats]\nwindow = '0s'", "limits.repeats.window: must be longer than nothing"),
        ("[limits.parent]\nmax_children = 0", "limits.parent.max_children: "),
        ("[limits.self_trade]\npolicy = 'on'", "limits.self_trade.policy: "),
        ("[limits.self_trade]\ngroups = [['a'], ['b', 'a']]", "limits.self_trade.groups[1]: a is in two"),
        ("[[limits.exposure]]\nmax_position = '1'", "limits.exposure[0].symbol: max_position needs one"),
        ("[[limits.exposure]]\nsymbol = 'BTC/USDT'", "limits.exposure[0]: limits nothing"),
        ("[[limits.exposure]]\nmax_open_value = '-1'", "limits.exposure[0].max_open_value: must be a number"),
        ("[[limits.exposure]]\nvenue = 'x'\nmax_open_value = '1'", "limits.exposure[0].venue: there is no"),
        ("[[limits.restricted]]\nsymbol = 'XRP/USDT'", "limits.restricted[0].symbol: there is no such instr"),
        ("[[limits.restricted]]\nsymbol = 'BTC/USDT'\nwhat = 'x'", "limits.restricted[0].what: "),
        ("[limits.instruments.'XRP/USDT']\nmax_order_qty = '1'", "limits.instruments.XRP/USDT: there is no"),
        ("[limits]\nmax_order_qty = 'NaN'", "limits.max_order_qty: must be a number from 0 on"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        config.parse(MARKET + text)
    assert said in str(raised.value)
