from __future__ import annotations

from decimal import Decimal

import pytest

from bestex import codec
from bestex.cli.common import assignments
from bestex.cli.lines import Filter, decode, describe
from bestex.cli.progress import planned_share
from bestex.clock import Time
from bestex.errors import Code, UsageError
from bestex.messages import ChildReplace, ParentPaused, SchedulePoint, VenueMetrics
from tests.unit.history import events, records

SYMBOLS = ("BTC/USDT", "ETH/USDT")


def test_every_message_of_a_history_is_one_readable_line() -> None:
    lines = [describe(decode(record.subject, record.data)) for record in records(events())]
    assert len(lines) > 10
    assert all(line.strip() and "\n" not in line for line in lines)


def test_changes_in_place_and_metrics_are_read_by_people_too() -> None:
    when = Time(0)
    change = ChildReplace(
        child_id="c1", parent_id="p1", venue="sim_a", symbol="X/Y", qty=Decimal("1.50"), price=Decimal(7),
        expires_at=when,
    )  # fmt: skip
    assert describe(change).endswith("child  c1 sim_a replace by 1.50 X/Y at 7")
    metrics = VenueMetrics(venue="sim_a", at=when, children=3, fill_ratio=0.123456, ack_ms_p50=None)
    line = describe(metrics)
    assert "venue  sim_a children 3" in line
    assert "fill_ratio 0.1235" in line
    assert "ack_ms_p50" not in line
    assert "breaker" not in line
    held = ParentPaused(
        symbol="X/Y", parent_id="p1", at=when, cum_qty=Decimal(0), leaves_qty=Decimal(1), avg_px=None, order_seq=0,
        code=Code.ALGO_FAILED, text="patient failed, KeyError: 3",
    )  # fmt: skip
    assert "p1 paused algo_failed: patient failed, KeyError: 3 | filled 0" in describe(held)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("fill", {"fill"}),
        ("", {"parent", "route", "child", "exec", "fill"}),
        ("BTC/USDT", {"parent", "route", "child", "exec", "fill"}),
        ("BTC-USDT", {"parent", "route", "child", "exec", "fill"}),
        ("ETH/USDT", set()),
        ("p1", {"parent", "route", "child", "exec", "fill"}),
        ("p2", set()),
        ("exec.sim_a.>", {"exec"}),
        ("bestex.v1.exec.sim_a.>", {"exec"}),
        ("parent.*.*.done", {"parent"}),
    ],
)
def test_a_filter_is_a_kind_a_symbol_a_parent_or_a_pattern(text: str, wanted: set[str]) -> None:
    chosen = Filter.parse(text, SYMBOLS)
    heads = set()
    for record in records(events()):
        if record.subject.split(".")[2] == "order":
            continue
        if chosen.wants(record.subject, decode(record.subject, record.data)):
            heads.add(record.subject.split(".")[2])
    assert heads == wanted


def test_a_pattern_that_no_subject_can_match_is_refused_with_what_there_is() -> None:
    with pytest.raises(UsageError, match="there are parent"):
        Filter.parse("exce.>", SYMBOLS)


def test_settings_read_as_json_where_they_can_and_as_text_elsewhere() -> None:
    given = ["a=1", "b=0.5", "c=true", "d=10bps", 'e=["x"]', "f=5m", "g=NaN", "h="]
    assert assignments(given) == {
        "a": 1, "b": 0.5, "c": True, "d": "10bps", "e": ["x"], "f": "5m", "g": "NaN", "h": "",
    }  # fmt: skip


def test_the_planned_share_follows_the_schedule() -> None:
    schedule = [SchedulePoint(Time(1000), Decimal(1)), SchedulePoint(Time(2000), Decimal(4))]
    found = [planned_share(schedule, 4.0, now) for now in (0, 1000, 1500, 2000, 3000)]
    assert found == [0.0, 0.25, 0.625, 1.0, 1.0]
    assert planned_share([], 4.0, 0) == 1.0


def test_settings_travel_as_they_were_meant() -> None:
    assert codec.to_json(assignments(["x=0.1"])) == b'{"x":0.1}'
