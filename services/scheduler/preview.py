"""What a scheduler would answer to an order now, without trading: the core itself is asked, and then thrown away.

So the planned curve that is shown, the algorithm that is chosen and the sentence of a refusal are the very ones that
an order would get from the same market.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bestex import codec, ids, subjects
from bestex import messages as m
from bestex.config import Config
from bestex.core import Fact, RawOrder
from services.scheduler.service import build


def preview(
    order: m.ParentOrder, config: Config, heard: Iterable[Any], now_ns: int
) -> m.ParentAccepted | m.ParentRejected:
    """`heard`: messages of the market as a scheduler hears them, such as its book and its statistics."""
    core = build(config, ()).core
    for message in heard:
        core.decide(message, now_ns)
    raw = RawOrder(subjects.order("new", order.algo, order.symbol), codec.to_json(order), 1)
    answers = [out.event for out in core.decide(raw, now_ns) if isinstance(out, Fact)]
    assert len(answers) == 1, "a new order is answered once"
    answer: m.ParentAccepted | m.ParentRejected = answers[0]
    return answer


def hears(symbol: str, config: Config) -> list[str]:
    """The subjects of one symbol's market that a scheduler hears: those with one open token, which is the symbol."""
    patterns = build(config, ()).hears
    return [one.replace("*", ids.token(symbol)) for one in patterns if one.count("*") == 1 and ">" not in one]
