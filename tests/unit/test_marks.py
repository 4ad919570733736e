"""What the marks compare, and when."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from bestex import bus
from bestex.clock import AffineClock
from bestex.errors import StreamDamaged
from bestex.marks import Marks

INFO = {
    "created": "2026-11-28T00:00:00Z",
    "config": {},
    "state": {"messages": 5, "first_seq": 1, "last_seq": 5},
}


class NoFiles:
    def read(self, _: str) -> bytes | None:
        return None

    def write(self, name: str, data: bytes) -> None: ...


@pytest.fixture
async def marks() -> Marks:
    made = Marks(None, NoFiles(), "test", AffineClock(), structlog.get_logger())  # type: ignore[arg-type]
    await made.verify({"ORDERS": INFO}, ["ORDERS"])
    made.saw("ORDERS", 5, "bestex.v1.order.new.twap.X-Y", b"{}")
    return made


async def test_what_is_seen_while_a_stream_is_asked_is_not_missed_in_its_answer(
    marks: Marks, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def api(*_: Any) -> dict[str, Any]:
        marks.saw("ORDERS", 6, "bestex.v1.order.new.twap.X-Y", b"{}")  # stored after the answer was made
        return INFO

    monkeypatch.setattr(bus, "api", api)
    await marks.check()


async def test_a_stream_that_ends_before_what_was_seen_is_damaged(
    marks: Marks, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def api(*_: Any) -> dict[str, Any]:
        return INFO

    marks.saw("ORDERS", 6, "bestex.v1.order.new.twap.X-Y", b"{}")
    monkeypatch.setattr(bus, "api", api)
    with pytest.raises(StreamDamaged, match="ends at 5, and 6 was seen"):
        await marks.check()
