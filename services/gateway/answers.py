"""What the gateway answers to operators: whether a halt is obeyed yet, and what its accounts hold."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

import msgspec

from bestex import codec
from bestex import messages as m
from bestex.clock import Time
from services.gateway.core import GatewayCore
from services.gateway.desk import Desk


def answer(data: bytes, _now_ns: int, *, venues: Sequence[str], core: GatewayCore, desk: Desk) -> bytes:
    """A `HaltAnswer`. Once it says halted and sending 0, no order of the scope leaves this process."""
    try:
        scope = codec.from_json(data, m.HaltQuestion).scope
    except (msgspec.MsgspecError, ValueError, RecursionError):
        scope = ""  # says that nothing was understood, and so confirms nothing
    at_ns, halted = core.checks.halts.said(scope) if scope else (0, False)
    return codec.to_json(
        m.HaltAnswer(
            venues=list(venues),
            process=_process(),
            scope=scope,
            halted=halted,
            at=Time(at_ns) if at_ns else None,
            sending=desk.sending,
        )
    )


def answer_holdings(_data: bytes, _now_ns: int, *, core: GatewayCore) -> bytes:
    """A `HoldingsAnswer`."""
    venues, accounts = list(core.venues), list(core.holdings.answer())
    return codec.to_json(m.HoldingsAnswer(process=_process(), venues=venues, accounts=accounts))


def _process() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
