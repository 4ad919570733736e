"""How long the ways to a simulated venue take."""

from __future__ import annotations

import re
from decimal import Decimal
from importlib import resources
from pathlib import Path
from statistics import median

import pytest

from bestex import config as configuration
from bestex import messages as m
from bestex.clock import MS, SECOND, US
from bestex.config import Config
from bestex.config_fills import LatencyConfig, VenueFills
from bestex.errors import ConfigError
from bestex.human import Duration
from bestex.matching.latency import Way, ways
from services.backtester.session import VirtualSession

LOGNORMAL = LatencyConfig(kind="lognormal", median=Duration(2 * MS), sigma=0.5)


def test_a_constant_way_always_takes_the_same() -> None:
    assert {Way(3 * MS, 1).draw_ns() for _ in range(5)} == {3 * MS}
    assert Way(LatencyConfig(median=Duration(MS)), 1).draw_ns() == MS


def test_a_lognormal_way_is_spread_around_its_median_in_whole_microseconds() -> None:
    way = Way(LOGNORMAL, 1)
    drawn = [way.draw_ns() for _ in range(4_000)]
    assert median(drawn) == pytest.approx(2 * MS, rel=0.03)
    # 84 % lie below median x e^sigma
    assert sum(ns < 2 * MS * 2.718281828**0.5 for ns in drawn) / 4_000 == pytest.approx(0.841, abs=0.02)
    assert all(ns % US == 0 for ns in drawn)


def test_a_recorded_way_draws_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "latencies"
    path.write_text("# one way\n1ms\n\n2.5ms\n")
    way = Way(LatencyConfig(kind="recorded", file=str(path)), 1)
    assert {way.draw_ns() for _ in range(50)} == {MS, 2_500 * US}


@pytest.mark.parametrize("text", ["", "soon\n", "2h\n"])
def test_a_file_that_holds_no_latencies_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "latencies"
    path.write_text(text)
    with pytest.raises(ConfigError, match="latencies"):
        Way(LatencyConfig(kind="recorded", file=str(path)), 1)


def test_ways_keep_their_order_and_depend_on_seed_venue_and_direction_alone() -> None:
    def arrivals(seed: int, venue: str) -> list[int]:
        way = ways(venue, VenueFills(there=LOGNORMAL), MS, seed).there
        return [way.arrival_ns(now_ns * 100 * US) for now_ns in range(200)]

    one = arrivals(1, "a")
    assert one == sorted(one) == arrivals(1, "a")
    assert len({tuple(one), tuple(arrivals(2, "a")), tuple(arrivals(1, "b"))}) == 3
    made = ways("a", VenueFills(back=LOGNORMAL), MS, 1)
    assert (made.there.draw_ns(), made.data.draw_ns()) == (MS, MS)
    assert made.back.draw_ns() != MS


def parsed(extra: str) -> Config:
    """The packaged configuration with something more, instead of its own fills."""
    text = resources.files("bestex").joinpath("default.toml").read_text()
    text = re.sub(r"^\[exchange\.fills\].*?(?=^\[)", "", text, flags=re.M | re.S)
    return configuration.parse(f"{text}\n{extra}\n")


def session(extra: str) -> VirtualSession:
    made = VirtualSession(parsed(extra), seed=1)
    order = m.ParentOrder(symbol="BTC/USDT", side=m.Side.BUY, qty=Decimal(15), algo="market")
    made.submit(order, made.now_ns + 3 * SECOND)
    assert made.finish(made.now_ns + 20 * SECOND)
    assert made.audit(complete=True).ok
    return made


def answers_ms(made: VirtualSession, venue: str) -> set[float]:
    """From a child's submission to the news of what became of it."""
    sent = {one.message.child_id: one.message.at for one in made.events(f"exec.{venue}.*.*.submitting")}
    told = {fill.child_id: fill.at for fill in made.fills() if fill.venue == venue}
    heard = {
        one.message.child_id: one.at_ns
        for one in made.events(f"fill.{venue}.>")
        if one.message.child_id in told
    }
    return {(heard[child] - sent[child]) / MS for child in heard}


def test_a_venue_of_its_own_latency_answers_later_than_the_others() -> None:
    made = session('\n[exchange.fills.venues.sim_a.there]\nmedian = "40ms"\n')
    assert min(answers_ms(made, "sim_a")) > 40
    others = [ms for venue in ("sim_b", "sim_c") for ms in answers_ms(made, venue)]
    assert others
    assert max(others) < 40


def test_sampled_ways_give_the_same_run_every_time() -> None:
    text = "\n".join(
        f'[exchange.fills.{way}]\nkind = "lognormal"\nmedian = "3ms"\nsigma = 0.6'
        for way in ("there", "back", "data")
    )
    digests = {session(f"\n{text}\n").digest() for _ in range(2)}
    assert len(digests) == 1
    assert session("").digest() not in digests


@pytest.mark.parametrize(
    ("extra", "wrong"),
    [
        ('queue = "first"', "exchange.fills"),
        ('ahead_share = "120%"', "exchange.fills.ahead_share"),
        ('half_life = "0s"', "exchange.fills.half_life"),
        ('[exchange.fills.back]\nkind = "recorded"', "exchange.fills.back.file"),
        ('[exchange.fills.venues.nowhere]\nqueue = "log"', "exchange.fills.venues.nowhere"),
        ('[exchange.fills.venues.sim_a.there]\nmedian = "2h"', "exchange.fills.venues.sim_a.there.median"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(extra: str, wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong):
        parsed(f"[exchange.fills]\n{extra}")
