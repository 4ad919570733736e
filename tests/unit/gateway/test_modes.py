"""What was done on paper is never taken for real, nor the other way round."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from bestex import codec, fleet, live
from bestex import messages as m
from bestex.clock import AffineClock
from bestex.config import Config, parse
from bestex.core import Fact, Recovered
from bestex.errors import Code, ConfigError
from bestex.messages import Tif
from services.gateway import port as p
from services.gateway.core import GatewayCore
from services.gateway.desk import Desk
from services.gateway.health import answer
from services.gateway.service import build
from services.gateway.venues.paper import PaperVenue, at_most
from services.gateway.venues.sim import LIT
from tests.unit.gateway.bench import CAPABILITIES, START, child_new, fill

VENUE = "binance_spot"


def config(mode: str) -> Config:
    return parse(
        f"""
        [venues.binance_spot]
        adapter = "ccxt"
        mode = "{mode}"
        [instruments."BTC/USDT"]
        price_scale = 2
        qty_scale = 5
        [instruments."BTC/USDT".venues]
        binance_spot = {{ tick = "0.1", lot = "0.0001" }}
        [limits.collar]
        enabled = false
        """
    )


def core(mode: str) -> GatewayCore:
    made = config(mode)
    return GatewayCore({VENUE: CAPABILITIES}, made.make_instruments(), made, fleet.build())


def submitted(mode: str) -> list[Any]:
    """The history of one order that filled."""
    made, history = core(mode), list[Any]()
    made.sessions[VENUE] = p.Session.RECONCILED
    for message in (child_new(venue=VENUE), fill("t1", 1_000)):
        for out in made.decide(message, START):
            if isinstance(out, Fact):
                made.apply(out.event)
                history.append(out.event)
    return history


def test_on_paper_each_order_and_each_fill_says_so() -> None:
    marked = [event for event in submitted("paper") if getattr(event, "paper", False)]
    assert [type(event) for event in marked] == [m.ExecSubmitting, m.Fill]
    assert b'"paper":true' in codec.to_json(marked[1])


def test_what_is_real_says_nothing_of_paper() -> None:
    assert not any(getattr(event, "paper", False) for event in submitted("live"))


@pytest.mark.parametrize(("was", "now_is"), [("paper", "live"), ("live", "paper")])
def test_a_history_of_the_other_mode_stops_the_gateway_at_its_start(was: str, now_is: str) -> None:
    made = core(now_is)
    for event in submitted(was):
        made.apply(event)
    with pytest.raises(ConfigError, match=r"take a bus and a data_dir of its own.*live_after_paper"):
        made.decide(Recovered(), START)


def test_a_history_of_the_same_mode_goes_on() -> None:
    made = core("paper")
    for event in submitted("paper"):
        made.apply(event)
    made.decide(Recovered(), START)


def test_keys_that_are_not_to_be_traded_with_end_the_process() -> None:
    with pytest.raises(ConfigError, match=r"venues.binance_spot.keys: it may withdraw \(key_may_withdraw\)"):
        core("live").decide(p.KeysRefused(VENUE, Code.KEY_MAY_WITHDRAW, "it may withdraw"), START)


def test_a_venue_on_paper_can_no_more_than_the_real_one() -> None:
    venue = PaperVenue(VENUE, config("paper"), AffineClock())
    assert venue.capabilities.tifs == {Tif.IOC, Tif.FOK, Tif.GTC}
    assert not venue.capabilities.native_replace
    everything = msgspec.structs.replace(LIT, tifs=frozenset(Tif))
    assert at_most(everything, p.Capabilities()).tifs == {Tif.IOC, Tif.GTC}


def test_the_gateway_of_a_venue_that_nobody_has_called_live_is_on_paper() -> None:
    build(config("paper"), (VENUE,))
    with pytest.raises(ConfigError, match="live_without_keys"):
        build(config("live"), (VENUE,))
    assert list(live.lacking(VENUE, config("paper"))) == []


def test_no_more_orders_are_open_at_a_venue_than_its_limit() -> None:
    made = parse(
        """
        [venues.binance_spot]
        adapter = "ccxt"
        [instruments."BTC/USDT"]
        price_scale = 2
        qty_scale = 5
        [instruments."BTC/USDT".venues]
        binance_spot = { tick = "0.1", lot = "0.0001" }
        [limits.collar]
        enabled = false
        [limits.open_orders]
        binance_spot = 1
        """
    )
    gateway = GatewayCore({VENUE: CAPABILITIES}, made.make_instruments(), made, fleet.build())
    gateway.sessions[VENUE] = p.Session.RECONCILED
    ends = []
    for number in (1, 2):
        order = child_new(f"c{number}", venue=VENUE, price=Decimal(60_000 - number), tif=Tif.GTC)
        for out in gateway.decide(order, START):
            assert isinstance(out, Fact)
            gateway.apply(out.event)
            ends.append(out.event)
    first, second = ends
    assert isinstance(first, m.ExecSubmitting)
    assert isinstance(second, m.ExecRejected)
    assert (second.code, second.text) == (Code.LIMIT_EXCEEDED, "1 children are open on binance_spot")


def test_the_report_says_how_each_venue_is() -> None:
    made, settings = core("paper"), config("paper")
    venue = PaperVenue(VENUE, settings, AffineClock())
    desk = Desk({VENUE: venue}, made.anomalies, made.halted)
    said = codec.from_json(
        answer(b"", START, venues={VENUE: settings.venues[VENUE]}, core=made, desk=desk), m.VenuesAnswer
    )
    assert said.service == "gateway"
    assert said.venues == [m.VenueHealth(venue=VENUE, kind="paper", session="down")]
