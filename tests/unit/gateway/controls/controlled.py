"""A bench under limits of its own, and short words for what the tests of the controls ask."""

from __future__ import annotations

from typing import Any

from bestex import messages as m
from bestex.config import parse
from bestex.errors import Code
from tests.unit.gateway.bench import Bench, child_new

MARKET = """
[venues.sim_a]
[instruments."BTC/USDT"]
price_scale = 2
qty_scale = 5
[instruments."BTC/USDT".venues]
sim_a = { tick = "0.1", lot = "0.0001" }
"""


def limited(limits: str) -> Bench:
    """A bench whose gateway has these lines in its configuration."""
    return Bench(parse(MARKET + limits)).ready()


def code_of(bench: Bench, child_id: str, /, **changed: Any) -> Code | None:
    """Why the child was refused; None where it was sent."""
    first = bench.hear(child_new(child_id, bench.now, **changed))[0]
    if isinstance(first, m.ExecSubmitting):
        return None
    assert isinstance(first, m.ExecRejected), first
    assert first.text
    return first.code


def again(bench: Bench) -> Bench:
    """The same gateway, killed and started again."""
    bench.crash()
    return bench.ready()
