from __future__ import annotations

from typing import Any

import pytest
from nats.aio.client import Client

from bestex import bus, config, pull, reading, streams
from bestex.errors import BusError, StreamMismatch

UNAVAILABLE = 10008  # "JetStream system temporarily unavailable"


def answering(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    async def api(*_: Any) -> dict[str, Any]:
        return {"error": {"err_code": code, "description": "so"}}

    monkeypatch.setattr(streams, "api", api)
    monkeypatch.setattr(pull, "api", api)
    monkeypatch.setattr(reading, "api", api)


async def test_a_missing_stream_is_a_mismatch_that_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, bus.STREAM_NOT_FOUND)
    with pytest.raises(StreamMismatch, match=r"ORDERS is missing.*bestex streams apply"):
        await streams.verify(Client(), config.load(None, {}))
    with pytest.raises(StreamMismatch, match="bestex streams apply"):
        await pull.ensure_consumer(Client(), "ORDERS", "scheduler", ["a"])


async def test_a_server_that_cannot_say_now_is_no_mismatch(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, UNAVAILABLE)
    with pytest.raises(BusError) as raised:
        await streams.verify(Client(), config.load(None, {}))
    assert not isinstance(raised.value, StreamMismatch)
    with pytest.raises(BusError) as raised:
        await reading.read_all(Client(), "ORDERS", ["a"], lambda _: None)
    assert not isinstance(raised.value, StreamMismatch)
