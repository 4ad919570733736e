"""Every kind of bad input gets its own code and a sentence, and never an exception."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bestex import messages as m
from bestex.errors import Code
from tests.unit.scheduler.bench_core import START, Bench

GOOD: dict[str, Any] = {"side": "buy", "qty": "1", "parent_id": "p1"}

BAD_BODIES: list[tuple[str, Any, Code]] = [
    ("not json", b"side=buy", Code.MALFORMED),
    ("not an object", b"[1,2]", Code.MALFORMED),
    ("invalid utf-8", b'{"side":"\xff"}', Code.MALFORMED),
    ("absurdly deep", b'{"params":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, Code.MALFORMED),
    ("a key twice", b'{"side":"buy","qty":"1","qty":"2"}', Code.MALFORMED),
    ("too large", b'{"note":"' + b"x" * 70_000 + b'"}', Code.MALFORMED),
    ("NaN literal", b'{"side":"buy","qty":NaN}', Code.NOT_FINITE),
    ("Infinity literal", b'{"side":"buy","qty":Infinity}', Code.NOT_FINITE),
    ("NaN text", {**GOOD, "qty": "NaN"}, Code.NOT_FINITE),
    ("Infinity text", {**GOOD, "qty": "-Infinity"}, Code.NOT_FINITE),
    ("infinite limit", {**GOOD, "limit_price": "Infinity"}, Code.NOT_FINITE),
    ("unknown field", {**GOOD, "quantity": "1"}, Code.UNKNOWN_FIELD),
    ("wrong type", {**GOOD, "qty": [1]}, Code.WRONG_TYPE),
    ("unknown side", {**GOOD, "side": "long"}, Code.WRONG_TYPE),
    ("no number", {**GOOD, "qty": "one"}, Code.WRONG_TYPE),
    ("missing side", {"qty": "1"}, Code.MISSING_PARAMETER),
    ("zero", {**GOOD, "qty": "0"}, Code.INVALID_QTY),
    ("negative", {**GOOD, "qty": "-1"}, Code.INVALID_QTY),
    ("off the lot", {**GOOD, "qty": "0.000001"}, Code.OFF_LOT),
    ("below the minimum", {**GOOD, "qty": "0.00009"}, Code.BELOW_MINIMUM),
    ("a million digits", {**GOOD, "qty": "1e999999"}, Code.OFF_LOT),
    ("zero limit", {**GOOD, "limit_price": "0"}, Code.INVALID_PRICE),
    ("limit finer than the tick", {**GOOD, "limit_price": "60000.001"}, Code.OFF_TICK),
    ("id with a dot", {**GOOD, "parent_id": "a.b"}, Code.INVALID_ID),
    ("id too long", {**GOOD, "parent_id": "x" * 33}, Code.INVALID_ID),
    ("id with a newline", {**GOOD, "parent_id": "p1\n"}, Code.INVALID_ID),
    ("expired", {**GOOD, "expires_at": "2020-01-01T00:00:00Z"}, Code.EXPIRED),
    ("time without a zone", {**GOOD, "expires_at": "2030-01-01T00:00:00"}, Code.WRONG_TYPE),
    ("end time in the past", {**GOOD, "params": {"end_time": "2020-01-01T00:00:00Z"}}, Code.EXPIRED),
    ("algo contradicts the subject", {**GOOD, "algo": "vwap"}, Code.SUBJECT_MISMATCH),
    ("symbol contradicts the subject", {**GOOD, "symbol": "ETH/USDT"}, Code.SUBJECT_MISMATCH),
    ("unknown venue", {**GOOD, "venues": ["nyse"]}, Code.UNKNOWN_VENUE),
    ("no venue", {**GOOD, "venues": []}, Code.UNKNOWN_VENUE),
    ("unknown strategy", {**GOOD, "strategy": "magic"}, Code.UNKNOWN_STRATEGY),
    ("unknown parameter", {**GOOD, "params": {"slizes": 3}}, Code.UNKNOWN_FIELD),
    ("parameter without a unit", {**GOOD, "params": {"duration": "5 parsecs"}}, Code.INVALID_PARAMETER),
    ("parameter out of range", {**GOOD, "params": {"randomize": "95%"}}, Code.INVALID_PARAMETER),
    ("parameter NaN", {**GOOD, "params": {"randomize": "NaN"}}, Code.INVALID_PARAMETER),
    ("unknown strategy parameter", {**GOOD, "strategy_params": {"x": 1}}, Code.UNKNOWN_FIELD),
    (
        "strategy parameter of a wrong type",
        {**GOOD, "strategy_params": {"price_levels": []}},
        Code.INVALID_PARAMETER,
    ),
    (
        "strategy parameter out of range",
        {**GOOD, "strategy_params": {"max_splits": -1}},
        Code.INVALID_PARAMETER,
    ),
    ("share above all", {**GOOD, "strategy_params": {"max_volume_pct": 40}}, Code.INVALID_PARAMETER),
    (
        "strategy parameters that leave no venue",
        {**GOOD, "strategy_params": {"include_spot": False, "include_perp": False}},
        Code.INVALID_PARAMETER,
    ),
    (
        "fraction for percent",
        {**GOOD, "strategy": "split_by_liquidity", "strategy_params": {"min_liquidity_percent": 0.05}},
        Code.INVALID_PARAMETER,
    ),
    (
        "parameter of another strategy",
        {**GOOD, "strategy": "lowest_fees", "strategy_params": {"liquidity_type": "base"}},
        Code.UNKNOWN_FIELD,
    ),
]


@pytest.mark.parametrize(("what", "body", "code"), BAD_BODIES, ids=[what for what, _, _ in BAD_BODIES])
def test_bad_input_gets_one_rejection_with_its_code(what: str, body: Any, code: Code) -> None:
    bench = Bench()
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    facts = bench.order(data=data)
    assert [type(fact) for fact in facts] == [m.ParentRejected], what
    assert facts[0].code == code
    assert len(facts[0].text) > 10
    assert len(facts[0].text) <= 400


def test_an_unknown_algo_is_refused_by_name() -> None:
    (rejected,) = Bench().order(GOOD, algo="vwop")
    assert (rejected.code, "twap" in rejected.text) == (Code.UNKNOWN_ALGO, True)


def test_an_unknown_symbol_is_refused_by_name() -> None:
    (rejected,) = Bench().order(GOOD, symbol="DOGE-USDT")
    assert (rejected.code, "BTC/USDT" in rejected.text) == (Code.UNKNOWN_SYMBOL, True)


def test_a_limit_order_needs_its_price() -> None:
    (rejected,) = Bench().order(GOOD, algo="limit")
    assert rejected.code == Code.MISSING_PARAMETER


def test_the_same_id_with_another_body_is_refused_and_the_first_goes_on() -> None:
    bench = Bench()
    bench.order(GOOD)
    (rejected,) = bench.order({**GOOD, "qty": "2"})
    assert rejected.code == Code.DUPLICATE_ID
    assert bench.of(m.ParentAccepted)[0].order.qty == 1


def test_the_same_order_once_more_is_a_retry_and_changes_nothing() -> None:
    bench = Bench()
    bench.order(GOOD)
    assert bench.order(GOOD) == []


def test_a_redelivered_refusal_is_not_refused_again() -> None:
    bench = Bench()
    bench.order({**GOOD, "qty": "0"})
    bench.seq -= 1
    assert bench.order({**GOOD, "qty": "0"}) == []


def test_an_order_without_an_id_gets_one_from_its_place_in_the_stream() -> None:
    accepted = Bench().order({"side": "sell", "qty": 0.5})[0]
    assert (accepted.parent_id, str(accepted.order.qty)) == ("o1", "0.5")


@pytest.mark.parametrize("verb", ["cancel", "modify", "pause", "resume"])
def test_a_request_for_an_unknown_order_is_refused(verb: str) -> None:
    (rejected,) = Bench().request(verb, "nobody")
    assert (rejected.code, rejected.request) == (Code.UNKNOWN_ORDER, verb)


def test_a_limit_on_order_value_is_enforced() -> None:
    from bestex import config
    from bestex.core import RawOrder
    from services.scheduler.service import build

    tight = config.load(None, {"BESTEX__LIMITS__MAX_ORDER_VALUE": "1000"})
    body = json.dumps({**GOOD, "limit_price": "60000"}).encode()
    outputs = build(tight, ()).core.decide(RawOrder("bestex.v1.order.new.limit.BTC-USDT", body, 1), START)
    assert outputs[0].event.code == Code.LIMIT_EXCEEDED  # type: ignore[union-attr]
