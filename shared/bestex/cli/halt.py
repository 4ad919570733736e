"""`bestex halt`, `unhalt` and `halts`: stop new orders, let them go on, see what is stopped."""

from __future__ import annotations

import getpass
import socket
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bestex.cli.common import COMMON, Common, console, known, print_json, table
from bestex.errors import UsageError

if TYPE_CHECKING:
    from bestex.config import Config
    from bestex.halting import VenueObeys
    from bestex.messages import Halt


async def halt(scope: str, /, *, reason: str, by: str = "", common: Common = COMMON) -> int:
    """Let no new order out. When this returns with 0, none goes out any more; cancels always do.

    bestex halt global --reason "the feed is wrong"
    bestex halt venue:sim_a --reason "maintenance" --by desk
    bestex halt algo:twap --reason "under review"

    Resting orders stay; cancel their parents. A halt lasts until `bestex unhalt`, through any restart.
    Exit code: 0 every gateway at work has confirmed, 1 one has not, 2 mistyped.

    Parameters
    ----------
    scope
        global, venue:NAME, account:NAME, algo:NAME or parent:ID.
    reason
        Why; stored with it.
    by
        Who; user@host where it is left out.
    """
    return await _say(scope, True, reason, by, common)


async def unhalt(scope: str, /, *, reason: str, by: str = "", common: Common = COMMON) -> int:
    """Let orders of this scope out again, and reset what breakers have stopped in it.

    bestex unhalt venue:sim_a --reason "maintenance is over"
    bestex unhalt parent:k3j9d0a7c1e5g2h4 --reason "looked at it"

    Other halts stay. Refused where somebody halts the scope anew at the same moment.
    Exit code: 0 every gateway at work has heard it, 1 one has not, 2 mistyped or refused.

    Parameters
    ----------
    scope
        global, venue:NAME, account:NAME, algo:NAME or parent:ID.
    reason
        Why; stored with it.
    by
        Who; user@host where it is left out.
    """
    return await _say(scope, False, reason, by, common)


async def halts(
    *, everything: Annotated[bool, Parameter(name="--all", negative="")] = False, common: Common = COMMON
) -> int:
    """What is halted, by whom, since when and why.

    bestex halts
    bestex halts --all --json

    Parameters
    ----------
    everything
        Also what was halted once and is not any more.
    """
    from bestex import bus, bus_access, halting, rights

    client = await bus.connect(bus_access.find(common.load(), rights.MONITOR), "bestex-halts")
    try:
        words = [word for word in await halting.words(client) if everything or word.halted]
    finally:
        await client.close()
    if common.json:
        print_json({"halts": words})
        return 0
    if not words:
        print("nothing is halted")
        return 0
    rows = table("scope", "", "since", "by", "why")
    for word in words:
        rows.add_row(word.scope, "halted" if word.halted else "may go", str(word.at), word.by, word.reason)
    console().print(rows)
    return 0


async def _say(scope: str, halted: bool, reason: str, by: str, common: Common) -> int:
    from bestex import bus, bus_access, bus_address, halting, rights

    if not reason.strip():
        raise UsageError("say why: --reason is empty")
    config = common.load()
    wire = _checked(scope, config)
    client = await bus.connect(bus_access.find(config, rights.OPERATOR), "bestex-halt")
    try:
        word = await halting.say(
            client,
            wire,
            halted,
            reason=reason,
            by=by or f"{getpass.getuser()}@{socket.gethostname()}",
            now_ns=bus_address.find_clock(config).now_ns(),
        )
        venues = await halting.confirm(client, config, word)
        others = [one for one in await halting.words(client) if one.halted and one.scope != wire]
    finally:
        await client.close()
    confirmed = all(venue.obeyed is not halting.Obeyed.UNCONFIRMED for venue in venues)
    if common.json:
        print_json({"word": word, "confirmed": confirmed, "venues": venues})
    else:
        _print(word, venues, others)
    return 0 if confirmed else 1


def _checked(scope: str, config: Config) -> str:
    """The scope as it travels. UsageError for a venue or an algorithm that is not there: a typing mistake must
    not halt nothing."""
    from bestex import halts, plugins

    wire = halts.wire_scope(scope)
    kind, _, name = wire.partition("-")
    if kind == "venue":
        known("venue", name, config.enabled_venues())
    elif kind == "algo":
        known("algorithm", name, plugins.ALGOS)
    return wire


def _print(word: Halt, venues: list[VenueObeys], others: list[Halt]) -> None:
    from bestex.halting import CONFIRM_S, Obeyed

    print(
        f"{word.scope} {'is halted' if word.halted else 'may go'}, by {word.by} at {word.at}: {word.reason}"
    )
    for venue in venues:
        process = f", process {venue.process}" if venue.process else ""
        match venue.obeyed:
            case Obeyed.CONFIRMED:
                left = f"; {venue.sending} orders left before and have no answer yet" if venue.sending else ""
                print(f"  {venue.venue}: confirmed{process}{left}")
            case Obeyed.DOWN:
                print(f"  {venue.venue}: no gateway is at work; one that starts reads this first")
            case Obeyed.UNCONFIRMED:
                print(
                    f"  {venue.venue}: NOT CONFIRMED within {CONFIRM_S:g} s{process}. The word is stored, but that "
                    "gateway may not have heard it: look at `bestex doctor`, or end the process"
                )
    if not word.halted:
        for other in others:
            print(f"  still halted: {other.scope}, by {other.by}: {other.reason}")
