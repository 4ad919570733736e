from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from bestex.background import BackgroundEvent
from bestex.clock import SECOND
from bestex.instruments import Instrument, Listing
from bestex.market import MarketModel

INSTRUMENT = Instrument(
    symbol="BTC/USDT",
    price_scale=2,
    qty_scale=5,
    listings=tuple(Listing(venue=venue, symbol="BTC/USDT") for venue in ("sim_a", "sim_b")),
)
END_NS = 3 * SECOND


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**64),
    preset=st.sampled_from(["crypto", "equity"]),
    cuts=st.lists(st.integers(0, END_NS), max_size=8),
)
def test_the_events_do_not_depend_on_how_time_is_cut(seed: int, preset: str, cuts: list[int]) -> None:
    whole = MarketModel(INSTRUMENT, preset, seed, 6_000_000, 0).step_until(END_NS)
    cut = MarketModel(INSTRUMENT, preset, seed, 6_000_000, 0)
    parts: list[BackgroundEvent] = []
    for now_ns in [*sorted(cuts), END_NS]:
        part = cut.step_until(now_ns)
        assert all(event.at_ns <= now_ns for event in part)
        parts += part
    assert parts == whole
