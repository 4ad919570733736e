"""A block through the whole pipeline on virtual time: dark venues, lit venues, a crash, and the audit.

`pytest -s` prints what the dark part cost against the mid of its moment, beside what a TWAP of the same order did.
"""

from __future__ import annotations

from bisect import bisect_right
from decimal import Decimal
from functools import cache
from operator import itemgetter
from typing import Any

import pytest

from bestex import config as configuration
from bestex import messages as m
from bestex.clock import SECOND
from bestex.config import Config
from bestex.ladder import Ladder
from services.backtester.session import VirtualSession
from tests.unit.backtester.test_session import BTC, check

QTY = Decimal(4)
BLOCK: dict[str, Any] = {"duration": "60s", "rest": "5s", "interval": "5s", "min_fill": "0.1"}
DARK = ("dark_a", "dark_b")


@cache
def with_dark() -> Config:
    return configuration.load(None, {f"BESTEX__VENUES__{name.upper()}__ENABLED": "true" for name in DARK})


def session_of(algo: str, seed: int, crash: str = "", **params: Any) -> tuple[VirtualSession, Mids]:
    session = VirtualSession(with_dark(), seed=seed)
    mids = Mids(session)
    start_ns = session.now_ns + 3 * SECOND
    made = m.ParentOrder(symbol=BTC, side=m.Side.BUY, qty=QTY, algo=algo, params=params)
    session.submit(made, start_ns)
    if crash:
        session.crash(crash, start_ns + 12 * SECOND)
    assert session.finish(start_ns + 90 * SECOND)
    return session, mids


class Mids:
    """Hears the consolidated book, and says what its mid was."""

    def __init__(self, session: VirtualSession) -> None:
        self._at: list[tuple[int, float]] = []
        session.world.listeners.append(self._hear)

    def _hear(self, _: str, message: Any) -> None:
        if not isinstance(message, m.ConsolidatedBook) or message.symbol != BTC:
            return
        if (mid := Ladder(message).mid) is not None:
            self._at.append((message.at_ns, mid / 10**message.price_scale))

    def at(self, at_ns: int) -> float:
        """In quote, as it was last heard before then."""
        return self._at[bisect_right(self._at, at_ns, key=itemgetter(0)) - 1][1]


def cost_bps(session: VirtualSession, mids: Mids, *, dark: bool) -> tuple[Decimal, float]:
    """How much was filled in the dark, or in the light, and by how much dearer than the mid at that moment."""
    fills = [fill for fill in session.fills() if (fill.venue in DARK) is dark]
    qty = sum((fill.qty for fill in fills), Decimal(0))
    paid = sum(float(fill.qty) * (float(fill.price) / mids.at(fill.venue_at) - 1) for fill in fills)
    return qty, 10_000 * paid / float(qty) if qty else 0.0


@pytest.mark.parametrize("crash", ["", "scheduler", "router", "gateway"])
def test_a_block_meets_others_in_the_dark_works_the_rest_and_survives_a_crash(crash: str) -> None:
    session, mids = session_of("block", 3, crash, **BLOCK)
    check(session)
    [done] = [stored.message for stored in session.events("parent.*.*.done")]
    assert done.cum_qty == QTY
    qty, _ = cost_bps(session, mids, dark=True)
    assert 0 < qty < QTY
    sliced = [stored.message for stored in session.events("parent.*.*.sliced")]
    assert {one.venues[0] for one in sliced if one.venues} == set(DARK)
    left = {stored.message.child_id: stored.message for stored in session.events("child.*.*.*.new")}
    filled: dict[str, Decimal] = {}
    for fill in session.fills():
        child = left[fill.child_id]
        rest = child.qty - filled.get(fill.child_id, Decimal(0))
        filled[fill.child_id] = filled.get(fill.child_id, Decimal(0)) + fill.qty
        if fill.venue in DARK:
            assert fill.qty >= min(child.min_fill_qty or 0, rest)


@pytest.mark.parametrize("crash", ["", "gateway"])
def test_a_conditional_block_is_firmed_up_once_for_each_invitation_and_meets_others(crash: str) -> None:
    """`check` ends in the audit, which holds every firm-up against what was written down before it."""
    session, _ = session_of("block", 3, crash, **BLOCK, conditional=True)
    check(session)
    [done] = [stored.message for stored in session.events("parent.*.*.done")]
    assert done.cum_qty == QTY
    sent = [stored.message for stored in session.events("exec.*.*.*.submitting")]
    assert {one.conditional for one in sent if one.venue in DARK} == {True}
    invited = [stored.message for stored in session.events("exec.*.*.*.invited")]
    assert len({one.child_id for one in invited}) == len(invited) > 0
    met = [fill for fill in session.fills() if fill.venue in DARK]
    print(f"{len(invited)} invitations, {len({one.child_id for one in met})} of them met somebody")
    assert {one.child_id for one in met} <= {one.child_id for one in invited if one.deadline is not None}
    assert met


def test_what_is_met_in_the_dark_costs_nothing_against_the_mid_and_what_is_taken_in_the_light_does() -> None:
    for seed in (1, 2):
        block, mids = session_of("block", seed, **BLOCK)
        twap, heard = session_of("twap", seed, duration="60s", interval="5s")
        dark, lit = cost_bps(block, mids, dark=True), cost_bps(block, mids, dark=False)
        other = cost_bps(twap, heard, dark=False)
        print(
            f"seed {seed}: dark {dark[0]} at {dark[1]:+.3f} bps, then lit {lit[0]} at {lit[1]:+.3f}, "
            f"TWAP {other[0]} at {other[1]:+.3f}"
        )
        assert abs(dark[1]) < 0.1 < other[1]
        assert dark[0] > 0
        assert other[0] == QTY  # nothing of an ordinary order goes to the dark


def test_the_same_seed_gives_the_same_messages() -> None:
    one, other = (session_of("block", 5, **BLOCK)[0] for _ in range(2))
    assert one.digest() == other.digest()
