"""The connection's own reading of headers."""

from __future__ import annotations

import pytest
from nats.aio.client import Client

from bestex.bus import _Client

BLOCKS = (
    b"Nats-Stream: EXEC_sim_a\r\nNats-Time-Stamp: 2026-01-01T00:00:00.123456Z\r\nNats-Sequence: 7\r\n\r\n",
    b"Bestex-Writer:router-all.1.2\r\nEmpty:\r\nSpaced:  \t two words \r\n\r\n",
    "Reason: 가격이 맞지 않음\r\nBroken: \xff\r\n\r\n".encode("latin-1", "replace"),
    "Reason: 가격\r\n\r\n".encode(),
    b"no colon here\r\n\r\n",
    b"",
)


@pytest.mark.parametrize("block", BLOCKS)
def test_headers_are_read_as_the_library_reads_them(block: bytes) -> None:
    assert _Client._parse_header_lines(block) == Client._parse_header_lines(block)
