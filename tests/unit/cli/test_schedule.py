"""`bestex schedule` without a bus, and what is drawn of an order."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest

from bestex import config, plugins
from bestex import messages as m
from bestex.cli import curves
from bestex.cli.curves import Picture, Planned, between, of_history, page, plan_of, plot, rows, since, until
from bestex.cli.main import run
from bestex.cli.schedule import assumed
from bestex.clock import SECOND, Time
from bestex.messages import ParentOrder
from services.scheduler.curve import of_schedule
from tests.unit.backtester import recorded
from tests.unit.scheduler.examples import EXAMPLES
from tests.unit.scheduler.play import Play

NOWHERE = "nats://127.0.0.1:1"
ORDER = ["schedule", "BTC/USDT", "buy", "10"]
HOUR = [*ORDER, "--algo", "twap", "--duration", "1h", "--set", "slices=12"]
ASSUMED = ["--assume", "mid=60000"]


@pytest.fixture(autouse=True)
def _no_bus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NATS_URL", NOWHERE)
    monkeypatch.chdir(tmp_path)


def test_a_curve_and_its_bounds_are_shown_as_plot_and_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*HOUR, *ASSUMED]) == 0
    said = capsys.readouterr().out
    assert "buy 10 BTC/USDT by twap" in said
    assert "the mid is 60000" in said
    assert "planned" in said
    half = next(line.split() for line in said.splitlines() if "30:00" in line)
    assert half[1:3] == ["30:00", "5"]


def test_as_json_it_is_the_event_that_would_be_stored(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run([*HOUR, *ASSUMED, "--json"]) == 0
    found = json.loads(capsysbinary.readouterr().out)
    assert found["event"] == "accepted"
    assert found["params"]["slices"] == 12
    assert found["arrival_px"] == "60000"
    assert [found["schedule"][i][1] for i in (0, -1)] == ["0", "10"]


@pytest.mark.parametrize("algo", plugins.ALGOS)
def test_every_algorithm_can_be_drawn(algo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    market = ["mid=60000", "volume=12", "volatility_bps=1", "depth=3", "spread_bps=1"]
    given = [word for one in market for word in ("--assume", one)]
    path = tmp_path / "plan.html"
    of_order = {"limit": "60100", "venues": ""}
    for name, value in EXAMPLES[algo][0].items():
        if name == "limit_price":
            of_order["limit"] = value
        elif name == "venues":
            of_order["venues"] = ",".join(value)
        elif name not in ParentOrder.__struct_fields__:
            given += ["--set", f"{name}={json.dumps(value) if not isinstance(value, str) else value}"]
    for name, value in of_order.items():
        given += [f"--{name}", value] if value else []
    line = ["schedule", "BTC/USDT", "buy", "1", "--algo", algo, "--html", str(path), *given]
    assert run(line) == 0, capsys.readouterr().out
    assert f"by {algo}" in capsys.readouterr().out
    assert "<svg" in path.read_text()


def test_a_plan_can_be_made_on_a_recording(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = recorded.write(tmp_path / "made.rec")
    assert run([*HOUR, "--recording", str(path), "--at", "3s", "--json"]) == 0
    found = json.loads(capsysbinary.readouterr().out)
    assert (found["event"], found["schedule"][-1][1]) == ("accepted", "10")
    assert found["arrival_px"] is not None


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (["schedule"], "name an order"),
        ([*ORDER, *ASSUMED, "--algo", "twpa"], 'did you mean "twap"'),
        ([*ORDER, *ASSUMED, "--set", "durration=5m"], 'did you mean "duration"'),
        ([*ORDER, "--assume", "mdi=1"], 'did you mean "mid"'),
        ([*ORDER, "--assume", "mid=x"], "is no number"),
        ([*ORDER, "--assume", "mid=-1"], "not below zero"),
        ([*ORDER, *ASSUMED, "--recording", "a.rec"], "one market"),
        ([*ORDER, "--recording", "nowhere.rec"], "nowhere.rec"),
        ([*ORDER, "--parent", "p1"], "leave out"),
        (["schedule", "NOPE/USDT", "buy", "1", *ASSUMED], 'no symbol "NOPE/USDT"'),
    ],
)
def test_what_is_wrong_is_said(line: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line) == 2
    assert told in capsys.readouterr().err


def test_without_a_bus_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(ORDER) == 1
    assert NOWHERE in capsys.readouterr().err


def test_what_would_be_rejected_is_told_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*ORDER, "--algo", "limit", *ASSUMED]) == 2
    assert "it would be rejected: limit needs a limit_price (missing_parameter)" in capsys.readouterr().out


def test_an_assumed_market_stands_around_its_mid() -> None:
    given = {"mid": Decimal(60_000), "spread_bps": Decimal(10), "depth": Decimal(2), "volume": Decimal(9)}
    stats, book = assumed("BTC/USDT", config.load(None, {}), given, 5 * SECOND)
    [column] = book.venues
    units = 10**book.price_scale
    assert (column.ask_px[0] + column.bid_px[0]) / 2 == 60_000 * units
    assert column.ask_px[0] - column.bid_px[0] == 60 * units
    assert (stats.volume, stats.mid, column.ask_qty) == (9, 60_000, [2 * 10**book.qty_scale])
    assert len(assumed("BTC/USDT", config.load(None, {}), {}, SECOND)) == 1


# -- what is drawn ---------------------------------------------------------------------------------------------


def played() -> Play:
    play = Play()
    play.order("twap", "1", duration="100s", interval="10s")
    play.until(40 * SECOND)
    play.request("modify", qty="2")
    return play.to_end(200)


def test_planned_and_filled_of_an_order_are_those_of_its_history() -> None:
    play = played()
    picture = of_history("p1", play.facts)
    assert picture is not None
    assert len(picture.plans) == 2
    changed_ns = picture.plans[1][0].at_ns
    assert picture.plans[0][-1].at_ns == changed_ns == int(play.of(m.ParentModified)[0].at)
    first = play.of(m.ParentAccepted)[0]
    exact = of_schedule(first.schedule, play.instrument)
    for at_ns in range(exact.start_ns, changed_ns, 7 * SECOND):
        drawn = picture.planned_at(at_ns)
        assert drawn.qty * 1e5 == pytest.approx(exact.at(at_ns).qty, abs=1)
        assert drawn.high * 1e5 == pytest.approx(exact.at(at_ns).high, abs=1)
    assert picture.filled[-1].qty == 2.0
    for event in play.of(m.ParentSettled):
        assert picture.filled_at(int(event.at)) == float(event.cum_qty)


def test_an_order_without_a_plan_is_not_drawn() -> None:
    assert of_history("p1", []) is None


def test_a_page_needs_nothing_but_itself_and_hides_nothing_in_names() -> None:
    play = played()
    picture = of_history("<b>p1</b> & co", play.facts, ("a note <script>",))
    assert picture is not None
    text = page(picture)
    assert "<b>p1</b>" not in text
    assert "<script" not in text
    assert "http" not in text
    body = text.partition("\n")[2].replace('<meta charset="utf-8">', "")
    root = Xml.fromstring(body)
    shapes = [one.attrib["class"] for one in root.iter() if one.tag in ("polygon", "polyline")]
    assert shapes == ["band", "planned", "band", "planned", "filled"]
    for shape in root.iter("polyline"):
        for pair in shape.attrib["points"].split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= curves.WIDTH
            assert 0 <= y <= curves.HEIGHT


def test_the_terminal_shows_both_lines_within_its_width() -> None:
    picture = of_history("p1", played().facts)
    assert picture is not None
    text = plot(picture, 80)
    assert max(map(len, text.splitlines())) <= 80
    assert "filled" in text
    assert "planned" in text
    assert len(rows(picture).columns) == 7


def test_a_plan_is_straight_between_its_points_and_level_around_them() -> None:
    plan = (Planned(10, 0.0, 0.0, 2.0), Planned(20, 10.0, 8.0, 10.0))
    assert between(plan, 15) == Planned(15, 5.0, 4.0, 6.0)
    assert between(plan, 5).qty == 0.0
    assert between(plan, 99).qty == 10.0
    assert until(plan, 15) == (plan[0], Planned(15, 5.0, 4.0, 6.0))
    assert until(plan, 10) == ()
    assert until(plan, 25) == plan
    assert since(plan, 15) == (Planned(15, 5.0, 4.0, 6.0), plan[1])
    assert since(plan, 5) == plan
    assert since(plan, 30) == (Planned(30, 10.0, 8.0, 10.0),)


def test_a_plan_of_one_point_can_be_drawn_too() -> None:
    plan = plan_of([m.SchedulePoint(Time(SECOND), Decimal(3))])
    picture = Picture("x", (), (plan,))
    assert plan == (Planned(SECOND, 3.0, 0.0, 3.0),)
    assert "planned" in plot(picture, 80)
    assert page(picture)
    assert rows(picture).row_count == 1


def test_the_command_draws_the_same_tickets_as_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tickets", "twap"]) == 0
    one: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert one["title"] == "twap"
    assert run(["tickets"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == list(plugins.ALGOS)
    assert run(["tickets", "--format", "fixatdl"]) == 0
    assert len(Xml.fromstring(capsys.readouterr().out)) == len(plugins.ALGOS)
    assert run(["tickets", "twpa"]) == 2
