"""The small parts of the library: time, human units, ids, codec, subjects."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import get_args

import msgspec
import pytest

import bestex
from bestex import codec, ids, subjects
from bestex import messages as m
from bestex.clock import SECOND, AffineClock, Time, parse_time, rfc3339
from bestex.errors import UsageError
from bestex.human import Duration, Ratio
from bestex.plugins import ALGOS, STRATEGIES, load


def test_a_time_travels_as_rfc_3339_with_microseconds() -> None:
    moment = Time(1_723_161_256_172_216_566)
    assert rfc3339(moment) == "2024-08-08T23:54:16.172216Z"
    assert parse_time("2024-08-09T01:54:16.172216+02:00") == moment
    with pytest.raises(ValueError, match="time zone"):
        parse_time("2024-08-08T23:54:16")


def test_an_affine_clock_runs_as_fast_as_it_says() -> None:
    clock = AffineClock(origin_ns=1_000 * SECOND, wall_origin_ns=0, speed=10)
    assert clock.wall_seconds(SECOND) == 0.1
    text = clock.encode()
    assert text == "1000000000000:0:10"


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("30m", 1800 * SECOND),
        ("1h30m", 5400 * SECOND),
        ("250ms", SECOND // 4),
        (2, 2 * SECOND),
        ("0.5", SECOND // 2),
    ],
)
def test_durations_are_read_as_people_write_them(text: object, ns: int) -> None:
    assert Duration.parse(text) == ns
    assert Duration.parse(str(Duration.parse(text))) == ns


@pytest.mark.parametrize("text", ["", "5 parsecs", "-1s", "m5", True, None, float("nan"), "1h x"])
def test_what_is_no_duration_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ValueError, match="no duration"):
        Duration.parse(text)


@pytest.mark.parametrize(("text", "ratio"), [("40%", 0.4), ("10bps", 0.001), (0.25, 0.25), ("0.5", 0.5)])
def test_ratios_are_read_as_people_write_them(text: object, ratio: float) -> None:
    assert Ratio.parse(text) == pytest.approx(ratio)


@pytest.mark.parametrize("text", ["", "%", "nan", "inf", True, None, "4 0%"])
def test_what_is_no_ratio_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ValueError, match="no ratio"):
        Ratio.parse(text)


def test_child_ids_are_functions_of_the_decision_and_fit_every_venue() -> None:
    made = {
        ids.child_id(symbol, parent, number, decision, leg)
        for symbol in ("BTC/USDT", "ETH/USDT")
        for parent in ("a", "b", "a1")
        for number in range(5)
        for decision in range(5)
        for leg in range(5)
    }
    assert len(made) == 2 * 3 * 125
    assert all(len(item) == 18 and item.isalnum() and item == item.lower() for item in made)
    assert ids.child_id("BTC/USDT", "a", 1, 2, 3) == ids.child_id("BTC/USDT", "a", 1, 2, 3)


def test_the_parts_of_an_id_cannot_run_into_each_other() -> None:
    assert ids.digest("a", "bc") != ids.digest("ab", "c")


def test_a_seeded_sequence_is_uniform_and_has_no_order_of_calls() -> None:
    numbers = [ids.uniform(7, i) for i in range(10_000)]
    assert numbers[5000] == ids.uniform(7, 5000)
    assert 0 <= min(numbers) < 0.01
    assert 0.99 < max(numbers) < 1
    assert sum(numbers) / len(numbers) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("text", ["", "a.b", "a b", "x" * 33, "a\n", "ä", "*", ">"])
def test_what_is_no_parent_id_is_refused(text: str) -> None:
    assert not ids.is_parent_id(text)


def test_a_message_survives_both_codecs() -> None:
    fill = m.Fill(
        fill_id="1-c",
        trade_id="1",
        venue="sim_a",
        symbol="BTC/USDT",
        child_id="c",
        parent_id="p",
        slice_no=1,
        side=m.Side.BUY,
        qty=Decimal("0.10000"),
        price=Decimal("60000.01"),
        fee=Decimal("-0.2"),
        venue_at=Time(1_000_000_000),
        at=Time(2_000_000_000),
    )
    assert codec.from_json(codec.to_json(fill), m.Fill) == fill
    assert codec.from_msgpack(codec.to_msgpack(fill), m.Fill) == fill
    assert b'"qty":"0.10000"' in codec.to_json(fill)


def test_internal_events_tolerate_new_fields_and_user_input_does_not() -> None:
    event = b'{"event":"done","symbol":"s","parent_id":"p","at":"2024-01-01T00:00:00Z","cum_qty":"0",'
    event += (
        b'"leaves_qty":"0","avg_px":null,"reason":"filled","notional":"0","fees":"0","from_the_future":1}'
    )
    assert isinstance(codec.from_json(event, subjects.ParentEvents), m.ParentDone)  # type: ignore[arg-type]
    with pytest.raises(msgspec.ValidationError):
        codec.from_json(b'{"side":"buy","qty":"1","from_the_future":1}', m.ParentOrder)


def test_every_event_has_its_own_last_token_and_every_message_its_row() -> None:
    for union in (subjects.ParentEvents, subjects.RouteEvents, subjects.ExecEvents):
        names = [kind.__struct_config__.tag for kind in get_args(union)]
        assert len(set(names)) == len(names)
    in_table = {row.message for row in subjects.TABLE}
    for row in subjects.TABLE:
        if row.plane is not subjects.Plane.REQUEST and not row.pattern.startswith("order."):
            example = f"{subjects.ROOT}." + row.pattern.replace("<", "").replace(">", "")
            assert subjects.kind_of(example).message in in_table


@pytest.mark.parametrize(
    ("pattern", "subject", "fits"),
    [
        ("a.*.c", "a.b.c", True),
        ("a.*.c", "a.b.d", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        ("a.b", "a.b.c", False),
        ("*", "a", True),
    ],
)
def test_subjects_match_by_the_rule_of_nats(pattern: str, subject: str, fits: bool) -> None:
    assert subjects.matches(pattern, subject) is fits
    assert subjects.matcher(["other.subject", pattern])(subject) is fits


def test_a_history_spans_all_events_of_an_order_and_a_fill_stands_alone() -> None:
    sliced = subjects.parent("BTC/USDT", "p", "sliced")
    assert subjects.history(sliced) == "bestex.v1.parent.BTC-USDT.p.*"
    fill = subjects.fill("sim_a", "BTC/USDT", "1-c")
    assert subjects.history(fill) == fill


@pytest.mark.parametrize("registry", [ALGOS, STRATEGIES])
def test_every_registered_name_loads_and_says_its_own_name(registry: dict[str, str]) -> None:
    for name in registry:
        found = load(registry, name)
        assert found.name == name
        assert found.__doc__


def test_algorithms_are_imported_by_their_names_like_all_that_users_need() -> None:
    assert bestex.TWAP is load(ALGOS, "twap")
    assert bestex.Limit is load(ALGOS, "limit")
    assert bestex.ParentOrder is m.ParentOrder
    for wrong in ("Twop", "twap"):
        with pytest.raises(AttributeError, match=wrong):
            getattr(bestex, wrong)


def test_an_unknown_name_is_answered_with_what_there_is() -> None:
    with pytest.raises(UsageError, match="twap"):
        load(ALGOS, "twop")


@pytest.mark.parametrize(
    ("value", "text"),
    [("0.0000001", "0.0000001"), ("-1.5E-9", "-0.0000000015"), ("1E+5", "100000"), ("60000.10", "60000.10")],
)
def test_decimals_travel_as_plain_digits(value: str, text: str) -> None:
    level = m.PlanLeg(venue="E-7", qty=Decimal(value), price=Decimal(1), fee=Decimal(value))
    data = codec.to_json(level)
    assert json.loads(data) == {"venue": "E-7", "qty": text, "price": "1", "fee": text}
    assert codec.from_json(data, m.PlanLeg) == level


def test_an_id_or_a_note_that_looks_like_a_number_stays_as_it_is() -> None:
    order = m.ParentOrder(side=m.Side.BUY, qty=Decimal("1E-7"), parent_id="1E-7", note="2E-9")
    assert json.loads(codec.to_json(order)) == {
        "side": "buy",
        "qty": "0.0000001",
        "parent_id": "1E-7",
        "note": "2E-9",
    }


@pytest.mark.parametrize(
    "text",
    [
        "2024-08-08T23:54:16.17221６Z",
        "2024-08-08T23:54:16.172x16Z",
        "2024-08-08T23:54:61.172216Z",
        "2024-08-08T23:54+01.172216Z",
        "2024-02-30T23:54:16.172216Z",
        "2024-08-08T23:54:16.172216z ",
    ],
)
def test_what_only_looks_like_our_own_times_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_time(text)


def test_our_own_times_come_back_as_they_were() -> None:
    for ns in (0, 1_000, 1_723_161_256_172_216_000, 1_723_161_256_999_999_000, 951_868_799_000_000_000):
        assert parse_time(rfc3339(ns)) == ns
