"""A service of its own for tests of the runtime: each order becomes two decisions and their commands.

    python -m tests.integration.small_service [--slow] [--die MOMENT] DURABLE

At MOMENT of the first order whose id begins with `fatal`, the process kills itself with SIGKILL:

    before_store       its first fact is decided, not yet written
    after_store        its first fact is written, its commands are not
    before_ack         everything is written, the input is not acknowledged

With --slow every decision takes long to be written.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from bestex import messages as m
from bestex import process, pull, subjects
from bestex.clock import Time
from bestex.config import Config
from bestex.core import Effect, Fact, Publish, RawOrder
from bestex.errors import Code
from bestex.ids import child_id
from bestex.journal import Journal
from bestex.service import Claim, Read, Service

SYMBOL, VENUE = "BTC/USDT", "sim_a"
LEGS = 2
DECISIONS = 2  # the first and one more, in one lane
MOMENTS = ("before_store", "after_store", "before_ack")
FATAL = "fatal"
SLOW_S = 0.3


class SmallCore:
    def __init__(self) -> None:
        self.decisions: dict[str, int] = {}

    def decide(self, message: Any, now_ns: int) -> Sequence[Fact | Effect]:
        """Complete the parent's decisions: none for an order that is known, whose end stays open."""
        if not isinstance(message, RawOrder):
            return []
        parent_id = json.loads(message.data)["parent_id"]
        return [
            _fact(parent_id, number, now_ns) for number in range(self.decisions.get(parent_id, 0), DECISIONS)
        ]

    def apply(self, event: Any) -> Sequence[Effect]:
        if not isinstance(event, m.RouteDecided):
            return []
        self.decisions[event.parent_id] = event.decision_no + 1
        return [
            Publish(
                subjects.child(VENUE, SYMBOL, leg.child_id, "cancel"),
                m.ChildCancel(
                    child_id=leg.child_id,
                    parent_id=event.parent_id,
                    venue=VENUE,
                    symbol=SYMBOL,
                    reason=Code.CANCELED,
                ),
            )
            for leg in event.legs
        ]


def _fact(parent_id: str, number: int, now_ns: int) -> Fact:
    kind = m.RouteRerouted if number else m.RouteDecided
    event = kind(
        symbol=SYMBOL,
        parent_id=parent_id,
        slice_no=1,
        at=Time(now_ns),
        decision_no=number,
        side=m.Side.BUY,
        qty=Decimal(1),
        strategy="sweep",
        legs=[
            m.Leg(
                child_id=child_id(SYMBOL, parent_id, 1, number, leg),
                venue=VENUE,
                qty=Decimal(1),
                price=Decimal(1),
            )
            for leg in range(LEGS)
        ],
        expires_at=Time(now_ns),
        good_till=Time(now_ns),
    )
    return Fact(subjects.route(SYMBOL, parent_id, 1, subjects.event_name(event)), event, lane=parent_id)


def build(config: Config, names: tuple[str, ...]) -> Service:  # noqa: ARG001 - the contract's
    return Service(
        name="small",
        names=names,
        core=SmallCore(),
        journal=(
            Read(subjects.ROUTE, (f"{subjects.ROOT}.route.>",), ends=(f"{subjects.ROOT}.route.*.*.*.done",)),
        ),
        reads=(Read(subjects.ORDERS, (f"{subjects.ROOT}.order.>",), f"small-{names[0]}"),),
        claims=(Claim(subjects.epoch("router", f"small-{names[0]}"), (f"small-{names[0]}",)),),
    )


def write_slowly() -> None:
    append = Journal.append

    async def slow_append(self: Journal, subject: str, payload: bytes, *, aside: bool = False) -> int:
        await asyncio.sleep(SLOW_S)
        return await append(self, subject, payload, aside=aside)

    Journal.append = slow_append  # type: ignore[method-assign]


def die_at(moment: str) -> None:
    """Patch the place where the process is to die."""
    append, create, acknowledge = Journal.append, Journal.create, pull.Delivery.ack_sync

    async def fatal_append(self: Journal, subject: str, payload: bytes, *, aside: bool = False) -> int:
        if FATAL in subject and moment == "before_store":
            os.kill(os.getpid(), signal.SIGKILL)
        return await append(self, subject, payload, aside=aside)

    async def fatal_create(self: Journal, subject: str, payload: bytes) -> bool:
        if FATAL in payload.decode() and moment == "after_store":
            os.kill(os.getpid(), signal.SIGKILL)
        return await create(self, subject, payload)

    async def fatal_acknowledge(self: pull.Delivery) -> None:
        if FATAL in self.data.decode() and moment == "before_ack":
            os.kill(os.getpid(), signal.SIGKILL)
        await acknowledge(self)

    Journal.append = fatal_append  # type: ignore[method-assign]
    Journal.create = fatal_create  # type: ignore[method-assign]
    pull.Delivery.ack_sync = fatal_acknowledge  # type: ignore[method-assign]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--die", choices=MOMENTS)
    parser.add_argument("--slow", action="store_true")
    arguments, rest = parser.parse_known_args()
    if arguments.die:
        die_at(arguments.die)
    if arguments.slow:
        write_slowly()
    pull.ACK_WAIT_S = 2.0  # a test does not wait for half a minute
    sys.argv = [sys.argv[0], *rest]
    process.run("small", build)
