"""The gateway under halts, and what another build has decided."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bestex import fleet
from bestex import messages as m
from bestex.clock import SECOND, Time
from bestex.errors import Code
from bestex.halts import Halts
from services.gateway import port as p
from tests.unit.gateway.bench import START, VENUE, Bench, child_cancel, child_new, working


@pytest.mark.parametrize("scope", ["global", "venue-sim_a", "account-default", "algo-twap"])
def test_a_halt_refuses_new_children_and_lets_cancels_pass(bench: Bench, scope: str) -> None:
    working(bench)
    halt = m.Halt(scope=scope, halted=True, reason="test", by="me", at=Time(START))
    bench.hear(halt)
    assert bench.hear(child_new("c2", algo="twap"))[0].code is Code.HALTED
    bench.hear(child_cancel())
    assert len(bench.asked(p.Cancel)) == 1
    earlier = m.Halt(scope=scope, halted=False, reason="old", by="me", at=Time(START - SECOND))
    bench.hear(earlier)
    assert bench.hear(child_new("c3", algo="twap"))[0].code is Code.HALTED
    bench.hear(m.Halt(scope=scope, halted=False, reason="over", by="me", at=Time(START + SECOND)))
    assert bench.hear(child_new("c4", algo="twap"))[0].__class__ is m.ExecSubmitting


def test_a_halted_order_is_not_replaced(bench: Bench) -> None:
    working(bench)
    bench.hear(m.Halt(scope="parent-p1", halted=True, reason="", by="me", at=Time(START)))
    terms: dict[str, Any] = {"child_id": "c1", "parent_id": "p1", "venue": VENUE, "symbol": "BTC/USDT"}
    terms |= {"qty": Decimal("0.02"), "price": Decimal("60000"), "expires_at": Time(START + SECOND)}
    assert bench.hear(m.ChildReplace(**terms))[0].code is Code.HALTED
    assert bench.core.halted("c1") == "parent-p1"
    bench.hear(m.Halt(scope="parent-p1", halted=False, reason="", by="me", at=Time(START + SECOND)))
    assert bench.core.halted("c1") == ""


@pytest.mark.parametrize(
    "changed", [{"build": ""}, {"slice_build": ""}, {"build": "x"}, {"slice_build": "x"}]
)
def test_what_another_build_decided_is_not_sent(bench: Bench, changed: dict[str, Any]) -> None:
    (event,) = bench.hear(child_new(**changed))
    assert event.code is Code.MIXED_FLEET
    assert fleet.build() in event.text
    assert ("router" in event.text) == ("build" in changed)
    assert isinstance(bench.hear(child_new("c2"))[0], m.ExecSubmitting)


def test_a_word_that_could_not_be_read_halts_until_a_readable_one_follows() -> None:
    halts = Halts()
    halts.hear("global", START, False)
    halts.hear("global", 0, True)
    assert halts.covers("sim_a", "default", "twap") == "global"
    halts.hear("global", START + SECOND, False)
    assert halts.covers("sim_a", "default", "twap") == ""
