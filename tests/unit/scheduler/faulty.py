"""An algorithm with bugs, of a user's own: where it fails, and how, is said by its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import pytest

from bestex import plugins
from bestex.clock import SECOND
from bestex.errors import Code
from services.scheduler.algos.base import Decision, Finish, Params, Recall, Replan, Slice, Task, Wait
from services.scheduler.curve import Curve, Point

FAULTY = "faulty"
WRONG: dict[str, Any] = {
    "nothing": None,
    "text": "buy",
    "too much": Slice(10**9, expires_ns=0),
    "less than nothing": Slice(-1, expires_ns=0),
    "half": Slice(0.5, expires_ns=0),  # type: ignore[arg-type]
    "half price": Slice(10, expires_ns=0, limit=0.5),  # type: ignore[arg-type]
    "half shown": Slice(10, expires_ns=2**62, display=0.5),  # type: ignore[arg-type]
    "half filled": Slice(10, expires_ns=2**62, min_fill=0.5),  # type: ignore[arg-type]
    "beyond all times": Slice(10, expires_ns=10**30),
    "no word": Slice(10, expires_ns=2**62, why=3),  # type: ignore[arg-type]
    "no venue": Slice(10, expires_ns=2**62, venues=(3,)),  # type: ignore[arg-type]
    "what cannot be stored": Slice(10, expires_ns=2**62, strategy_params={"a": object()}),
    "strategy": Slice(10, expires_ns=2**62, strategy="nobody's"),
    "never": Wait(float("inf")),  # type: ignore[arg-type]
    "unknown slice": Recall(99, ""),
    "flat": Replan([], ""),  # type: ignore[arg-type]
    "half a plan": Replan(Curve([Point(0, 0.5, 0, 1)]), ""),  # type: ignore[arg-type]
    "a plan for never": Replan(Curve([Point(10**30, 1, 0, 1)]), ""),
    "a plan with no word": Replan(Curve([Point(1, 1, 0, 1)]), None),  # type: ignore[arg-type]
    "cancelled": Finish(Code.CANCELED),
    "wordless": Finish("enough"),  # type: ignore[arg-type]
}


class Unspeakable(Exception):
    """Whose text is an error of its own."""

    def __str__(self) -> str:
        raise KeyError("no words")


NOTHING = object()


class Faulty(Params, frozen=True, kw_only=True, omit_defaults=True):
    """A tenth each second, and a bug before slice number `fails_at`."""

    name: ClassVar[str] = FAULTY

    fails_at: int = 0
    fails_in: Literal["decide", "curve", "problem", "choose", "begin", "making", ""] = "decide"
    gives: Literal["", "nothing", "halves", "unspeakable"] = ""  # instead of an error, where it fails
    wrong: str = ""

    def __post_init__(self) -> None:
        assert self.fails_in != "making", "made wrong"

    def problem(self) -> str:
        return self._bad("problem", 0.5) or super().problem()

    def begins_ns(self, market: Any, at_ns: int) -> int:
        return self._bad("begin", at_ns + 0.5) or super().begins_ns(market, at_ns)

    def choose(self, task: Task, algos: Mapping[str, type[Params]], name: str = "") -> tuple[Params, str]:
        return self._bad("choose", (self, 0.5)) or super().choose(task, algos, name)

    def curve(self, task: Task, now_ns: int) -> Curve:
        halves: Any = task.qty / 2
        return self._bad("curve", Curve([Point(now_ns, halves, 0, task.qty)])) or super().curve(task, now_ns)

    def _bad(self, where: str, halves: Any) -> Any:
        if self.fails_in != where:
            return None
        assert self.gives, f"no {where}"
        if self.gives == "unspeakable":
            raise Unspeakable
        return halves if self.gives == "halves" else NOTHING

    def decide(self, task: Task, now_ns: int) -> Decision:
        if now_ns >= task.end_ns and not self.wrong:
            return self.closing(task, now_ns)
        if task.slices and now_ns < task.sliced_ns + SECOND:
            return Wait(task.sliced_ns + SECOND)
        if self.fails_in == "decide" and task.slices + 1 == self.fails_at:
            if self.wrong:
                decision: Decision = WRONG[self.wrong]
                return decision
            raise ValueError(f"nobody knows {object()}")
        return Slice(min(task.qty // 10, task.unsent), expires_ns=now_ns + SECOND)


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Among the algorithms there is this one too."""
    monkeypatch.setitem(plugins.ALGOS, FAULTY, f"{__name__}:Faulty")
