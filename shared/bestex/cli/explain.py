"""`bestex explain`: what happened to one order, and why."""

from __future__ import annotations

from bestex.cli.common import COMMON, Common, print_json
from bestex.errors import UsageError


async def explain(parent_id: str, /, *, common: Common = COMMON) -> int:
    """All that was ever stored of one order, from every stream, in the order of time.

    bestex explain my-1
    bestex explain my-1 --json

    Each line says how many seconds after the first it was stored, where, and what it says.

    Parameters
    ----------
    parent_id
        The order's id.
    """
    from bestex import bus, bus_access, codec, rights
    from bestex.audit.story import read_story
    from bestex.cli.lines import decode, describe
    from bestex.clock import SECOND, rfc3339

    client = await bus.connect(bus_access.find(common.load(), rights.MONITOR), "bestex-explain")
    try:
        story = await read_story(client, parent_id)
    finally:
        await client.close()
    if not story:
        raise UsageError(f"there was never an order {parent_id}; `bestex status --all` lists all there are")
    if common.json:
        events = [
            {
                "stream": one.stream,
                "seq": one.seq,
                "stored_at": rfc3339(one.at_ns),
                "subject": one.subject,
                "message": codec.to_builtins(decode(one.subject, one.data)),
            }
            for one in story
        ]
        print_json({"parent_id": parent_id, "events": events})
        return 0
    for one in story:
        seconds = (one.at_ns - story[0].at_ns) / SECOND
        print(f"{seconds:9.3f}  {f'{one.stream} {one.seq}':<18} {describe(decode(one.subject, one.data))}")
    return 0
