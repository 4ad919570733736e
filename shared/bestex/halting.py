"""An operator's halt on the bus: said with compare-and-set, and confirmed by every gateway that it concerns.

After `confirm` says so, no order of the scope leaves any gateway: each has heard the halt, looks at it last before
every send, and has no order on the way that left before. A gateway that is down cannot send, and reads the halt
at its start before any input. Whether it is down is asked of the bus: a gateway that lives, even one that is
frozen, has a standing pull on its commands there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from enum import StrEnum

import msgspec
import nats.errors
from nats.aio.client import Client

from bestex import asking, bus, codec, pull, reading, subjects
from bestex import messages as m
from bestex.clock import US, Time
from bestex.config import Config
from bestex.errors import BusError, OutcomeUnknown, UsageError
from bestex.tape import decode_bus

CONFIRM_S = (
    5.0  # gateways answer in milliseconds; one that takes longer is in trouble, and a person must know
)
ROUND_S = 0.1  # how long the answers to one question are waited for
ROUNDS_SILENT_MIN = 5  # a gateway that is busy deciding may miss one
SAY_S = 10.0  # how long the bus may be away while a word is said
RETRY_S = 0.1


class Obeyed(StrEnum):
    CONFIRMED = "confirmed"
    DOWN = "down"  # no process at work: whichever starts reads the halt first
    UNCONFIRMED = "unconfirmed"


class VenueObeys(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the gateway of one venue stands to a word. `sending`: orders that left before it, unanswered yet."""

    venue: str
    obeyed: Obeyed
    process: str = ""
    sending: int = 0


# -- saying ----------------------------------------------------------------------------------------------------


async def say(client: Client, scope: str, halted: bool, *, reason: str, by: str, now_ns: int) -> m.Halt:
    """Store a word on `scope` (in its wire form), newer than the one that stands there.

    A halt stands whatever came in between. An unhalt is of what was seen: raises UsageError where a newer word
    came before it. OutcomeUnknown where the bus does not confirm.
    """
    subject = subjects.halt(scope)
    deadline = time.monotonic() + SAY_S
    said: m.Halt | None = None
    while True:
        try:
            stored = await bus.read_last(client, subjects.CONTROL, subject)
            last = None if stored is None else _read(stored.subject, stored.data)
            if said is not None and last == said:
                return said  # the acknowledgement was lost, the word was not
            if said is not None and not halted:
                _refuse_unhalt(scope, last)
            at = Time(max(now_ns, 0 if last is None else last.at + US))
            said = m.Halt(scope=scope, halted=halted, reason=reason, by=by, at=at)
            headers = {bus.EXPECTED_SEQ: str(0 if stored is None else stored.seq)}
            ack = await bus.publish(client, subject, codec.to_json(said), headers)
            if ack.error is None:
                return said
            if ack.error.err_code not in bus.WRONG_LAST_SEQUENCE:
                raise BusError(f"{subject}: {ack.error.description}")
        except nats.errors.NoRespondersError:
            raise BusError("no stream takes halts; run `bestex streams apply`") from None
        except (nats.errors.Error, TimeoutError) as error:
            if time.monotonic() > deadline:
                raise OutcomeUnknown(f"{subject}: the bus did not confirm for {SAY_S:.0f} s") from error
        await asyncio.sleep(RETRY_S)


def _refuse_unhalt(scope: str, last: m.Halt | None) -> None:
    """Our word was refused: somebody said something since we looked."""
    if last is not None and last.halted:
        raise UsageError(
            f'{scope} was halted anew by {last.by} meanwhile: "{last.reason}"; look, and say it again'
        )


async def words(client: Client) -> list[m.Halt]:
    """The last word on every scope, oldest first."""
    found: list[m.Halt] = []

    def take(delivery: reading.Kept) -> None:
        found.append(_read(delivery.subject, delivery.data))

    pattern = subjects.halt("X").removesuffix("X") + ">"
    await reading.read_all(client, subjects.CONTROL, [pattern], take, deliver="last_per_subject")
    return sorted(found, key=lambda halt: halt.at)


def _read(subject: str, data: bytes) -> m.Halt:
    halt = decode_bus(subject, data, 0)
    assert isinstance(halt, m.Halt), "what stands under control.halt is read as a halt"
    return halt


# -- confirming ------------------------------------------------------------------------------------------------


async def confirm(
    client: Client, config: Config, halt: m.Halt, wait_s: float = CONFIRM_S
) -> list[VenueObeys]:
    """How every venue's gateway stands to `halt`, once all have confirmed or are down; at the latest after
    `wait_s`. Under a halt it is also waited for the answers to orders that had left before."""
    kind, _, name = halt.scope.partition("-")
    concerned = [venue for venue in config.enabled_venues() if kind != "venue" or venue == name]
    deadline = time.monotonic() + wait_s
    answers: dict[str, m.HaltAnswer] = {}
    rounds = 0
    while True:
        for answer in await _ask(client, halt.scope):
            answers[answer.process] = answer
        rounds += 1
        found = [_of(venue, list(answers.values()), halt) for venue in concerned]
        if rounds >= ROUNDS_SILENT_MIN:
            found = [await _down_or_not(client, one) for one in found]
        done = all(one.obeyed is not Obeyed.UNCONFIRMED and not one.sending for one in found)
        if done or time.monotonic() > deadline:
            return found


async def _ask(client: Client, scope: str) -> list[m.HaltAnswer]:
    """What every gateway that answers within ROUND_S says of the scope."""
    question = codec.to_json(m.HaltQuestion(scope=scope))
    answers = await asking.ask_all(client, subjects.HALTS, question, ROUND_S)
    return [codec.from_json(answer, m.HaltAnswer) for answer in answers]


def _of(venue: str, answers: Sequence[m.HaltAnswer], halt: m.Halt) -> VenueObeys:
    """The worst of what the processes of this venue say: two may be there for a moment."""
    mine = [answer for answer in answers if venue in answer.venues]
    late = [answer for answer in mine if answer.at is None or answer.at < halt.at]
    if late or not mine:
        return VenueObeys(venue=venue, obeyed=Obeyed.UNCONFIRMED, process=late[0].process if late else "")
    sending = sum(answer.sending for answer in mine) if halt.halted else 0
    return VenueObeys(venue=venue, obeyed=Obeyed.CONFIRMED, process=mine[0].process, sending=sending)


async def _down_or_not(client: Client, one: VenueObeys) -> VenueObeys:
    """A venue whose gateway says nothing and waits for no command has none at work."""
    if one.obeyed is not Obeyed.UNCONFIRMED or one.process:
        return one
    info = await bus.api(client, f"CONSUMER.INFO.{subjects.ROUTE}.gateway-{one.venue}", {})
    waiting = 0 if "error" in info else int(info.get("num_waiting", 0))
    if "error" in info and bus.error_code(info) != pull.CONSUMER_NOT_FOUND:
        raise BusError(f"the gateway's consumer of {one.venue}: {info['error'].get('description')}")
    return one if waiting else msgspec.structs.replace(one, obeyed=Obeyed.DOWN)
