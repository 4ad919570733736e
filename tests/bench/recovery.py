"""How soon a killed service is back at work: `python -m tests.bench.recovery [--json]`.

On the bus stand 1,000 parents at work, each with a slice that has ended and one whose child rests at the exchange,
and 4,000 parents that have ended. When all of it is taken in, each service in turn is killed with SIGKILL while an
order is on its way to it, and started again. `ready_s` is the time from the start of the process to its announcement,
`first_s` to the first message that it stores or publishes for that order (the recorder: to its first figures).
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from importlib import resources
from typing import Any

import msgspec
import uvloop
from nats.aio.client import Client

from bestex import bus, codec, streams, subjects
from bestex import messages as m
from bestex.clock import HOUR, MS, AffineClock, Time
from bestex.subjects import stream_of
from services.gateway import port as p
from services.gateway.venues.sim import SimVenue
from tests.bench import rig
from tests.bench.rig import Rig, until
from tests.unit import history

WORKING, ENDED = 1_000, 4_000
ONE_SLICE_MS, RESTING_MS = 80, 150  # of the example history: its first slice has ended; its second one rests
BARRIER = 500  # messages between two that are acknowledged: below what a server holds for a stream
RESTS_AT_ONCE = 12
SERVICES = ("scheduler", "router", "gateway", "recorder")
PROBE_S = 0.01
CALM_S_MAX = 120.0  # all that stands on the bus is new to the services at first
BACK_S_MAX = 60.0
RECOVERY_S_MAX = 420.0
SUBJECTS = {
    "scheduler": "parent.*.{parent}.>",
    "router": "route.*.{parent}.>",
    "gateway": "exec.>",
    "recorder": "metrics.>",
}


@dataclass(frozen=True)
class Template:
    """A history as bytes, of which copies with other ids are made."""

    messages: tuple[tuple[str, bytes], ...]

    def copy(self, number: int) -> Iterable[tuple[str, bytes]]:
        parent = f"{history.PARENT}-{number}"
        ids = {child: f"{child[:10]}{number:08}" for child in history.ID.values()}
        for subject, data in self.messages:
            text = data.decode().replace(f'"{history.PARENT}"', f'"{parent}"')
            place = subject.replace(f".{history.PARENT}.", f".{parent}.")
            for child, other in ids.items():
                text, place = text.replace(child, other), place.replace(child, other)
            yield place, text.encode()


def resting_id(number: int) -> str:
    return f"{history.ID[2, 0, 0][:10]}{number:08}"


def templates(now_ns: int) -> tuple[Template, Template]:
    """Of a parent at work, and of one that has ended."""
    history.T0 = now_ns - now_ns % MS
    later = Time(now_ns + HOUR)
    slices = {e.slice_no: e for _, _, e in history.events() if isinstance(e, m.ParentSliced)}
    events = [
        (s, ms, msgspec.structs.replace(e, slice=slices[e.slice_no]) if type(e) is m.RouteDecided else e)
        for s, ms, e in history.events()
    ]
    working = [
        (subject, _lasting(message, later))
        for subject, ms, message in events
        if ms <= RESTING_MS and not subject.startswith(f"{subjects.ROOT}.order.")
    ]
    ended = [
        (subject, message)
        for subject, ms, message in events
        if not subject.startswith(f"{subjects.ROOT}.order.")
        and (ms <= ONE_SLICE_MS or isinstance(message, m.ParentDone))
    ]
    encoded = [Template(tuple((s, codec.to_json(e)) for s, e in each)) for each in (working, ended)]
    return encoded[0], encoded[1]


def _lasting(message: Any, later: Time) -> Any:
    """The same, with all the time in the world."""
    fields = {name: later for name in ("good_till", "end_at") if hasattr(message, name)}
    if isinstance(message, m.ParentSliced):
        fields["expires_at"] = later
    return msgspec.structs.replace(message, **fields)


async def populate(client: Client) -> int:
    working, ended = templates(time.time_ns())
    count = 0
    for template, numbers in ((ended, range(WORKING, WORKING + ENDED)), (working, range(WORKING))):
        since: dict[str, int] = {}
        for number in numbers:
            for subject, data in template.copy(number):
                count += 1
                stream = stream_of(subject)
                since[stream] = since.get(stream, 0) + 1
                if since[stream] % BARRIER:
                    await client.publish(subject, data)
                else:
                    assert (await bus.publish(client, subject, data, timeout=BACK_S_MAX)).error is None
    return count


async def rest(bench: Rig) -> None:
    """The working parents' children, at the exchange."""
    venue = SimVenue("sim_a", bench.config, AffineClock())
    up = asyncio.Event()

    def say(said: Any) -> None:
        if isinstance(said, p.SessionState) and said.state is not p.Session.DOWN:
            up.set()

    await venue.connect(say, time.time_ns)
    await up.wait()
    limit = asyncio.Semaphore(RESTS_AT_ONCE)

    async def one(number: int) -> None:
        order = p.Submit(
            venue="sim_a",
            symbol=history.SYMBOL,
            child_id=resting_id(number),
            side=m.Side.BUY,
            qty=50_000,
            price=9_900,
            tif=m.Tif.GTC,
            post_only=False,
            deadline_ns=time.time_ns() + HOUR,
            good_till_ns=time.time_ns() + HOUR,
        )
        async with limit:
            said = await venue.submit(order)
        assert isinstance(said[-1], p.VenueAccepted), said

    await asyncio.gather(*(one(number) for number in range(WORKING)))
    await venue.disconnect()


async def is_calm(bench: Rig) -> bool:
    """Whether every message has been taken in and acknowledged."""
    for spec in streams.specs(bench.config):
        listed = await bus.api(bench.client, f"CONSUMER.LIST.{spec.name}", {})
        if any(one["num_pending"] or one["num_ack_pending"] for one in listed["consumers"] or ()):
            return False
    return True


async def back(bench: Rig, service: str, process: Any) -> tuple[Any, dict[str, float]]:
    """Kill the service under an order, start it again, and measure."""
    parent = f"after-{service}"
    first: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def hear(message: Any) -> None:
        if not first.done() and (service == "recorder" or parent in message.subject + message.data.decode()):
            first.set_result(time.monotonic())

    process.send_signal(signal.SIGKILL)
    process.wait()
    pattern = SUBJECTS[service].format(parent=parent)
    subscription = await bench.client.subscribe(f"{subjects.ROOT}.{pattern}", cb=hear)
    body = m.ParentOrder(side=m.Side.BUY, qty=Decimal("0.01"), parent_id=parent)
    await bus.publish(bench.client, subjects.order("new", "market", history.SYMBOL), codec.to_json(body))
    began = time.monotonic()
    process = bench.spawn(f"services.{service}")
    await bench.started(process, BACK_S_MAX, PROBE_S)
    ready = time.monotonic()
    done = await asyncio.wait_for(first, BACK_S_MAX)
    await subscription.unsubscribe()
    return process, {
        f"{service}_ready_s": round(ready - began, 2),
        f"{service}_first_s": round(done - began, 2),
    }


async def measure() -> dict[str, Any]:
    text = resources.files("bestex").joinpath("default.toml").read_text()
    async with Rig(text) as bench:
        await bench.exchange()
        result: dict[str, Any] = {"messages": await populate(bench.client)}
        await rest(bench)
        for name in ("collector", "aggregator"):
            await bench.service(name)
        running = {}
        for name in SERVICES:
            running[name] = await bench.started(bench.spawn(f"services.{name}"), CALM_S_MAX)
        for name in SERVICES:
            await until(lambda: is_calm(bench), CALM_S_MAX)
            running[name], figures = await back(bench, name, running[name])
            result |= figures
        return result


def run() -> dict[str, Any]:
    return uvloop.run(asyncio.wait_for(measure(), RECOVERY_S_MAX))


if __name__ == "__main__":
    rig.main(run)
