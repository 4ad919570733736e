"""`bestex venues`: each venue as it is configured and as it is, and a look at one that sends no order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cyclopts import App

from bestex.cli.common import COMMON, Common, console, known, print_json, table

if TYPE_CHECKING:
    from bestex.config import Config
    from bestex.messages import VenueHealth, VenuesAnswer
    from bestex.venues import Configured, Found

venues_app = App(
    name="venues", help="The venues: how they are configured, and how they are.", help_format="plaintext"
)

ANSWER_S = 2.0  # gateways and the router answer in milliseconds, on a busy machine later


@venues_app.default
async def venues(*, common: Common = COMMON) -> int:
    """Each venue: simulated, paper or live, its fees and limits, and how the running gateways and router see it.

    bestex venues
    bestex venues --json

    What does not run is shown from the configuration, and says so.
    Exit code: 0 as it should be, 1 a venue that is to trade for real may not.
    """
    from bestex.venues import configured

    config = common.load()
    found = configured(config)
    answers, why = await _answers(config)
    rows = [_row(one, answers) for one in found]
    lacks = [lack for one in found if one.enabled for lack in one.lacks]
    if common.json:
        print_json({"venues": rows, "bus": why or "ok"})
        return 1 if lacks else 0
    _print(found, rows)
    if why:
        print(f"nothing is known of what runs: {why}")
    for lack in lacks:
        print(lack)
    return 1 if lacks else 0


@venues_app.command
async def check(name: str, /, *, common: Common = COMMON) -> int:
    """Connect to a real venue, read only: clock, terms, account, the key's rights and fees. No order is sent.

    bestex venues check binance_spot
    bestex venues check binance_spot --json

    Exit code: 0 nothing is wrong (there may be warnings), 1 something is, 2 mistyped.
    """
    from bestex import live, plugins
    from bestex.venues import Found, Verdict

    config = common.load()
    settings = config.venues[known("venue", name, config.venues)]
    found: list[Found] = []

    def say(one: Found) -> None:
        found.append(one)
        if not common.json:
            _say(one)

    how = {
        "simulated": "its market is made up, and there is nothing to look at",
        "paper": "its orders go to a simulation, and nothing of ours to the venue",
        "live": "orders are sent",
        "data": "its adapter sends no orders",
    }
    say(Found(what="mode", verdict=Verdict.OK, text=f"{settings.kind}: {how[settings.kind]}"))
    for lack in live.lacking(name, config):
        say(Found(what="live", verdict=Verdict.WRONG, text=lack.text, code=lack.code))
    if not settings.enabled:
        say(Found(what="enabled", verdict=Verdict.WARNING, text="it is not enabled", write="enabled = true"))
    if settings.adapter in plugins.CHECKS:
        await plugins.load(plugins.CHECKS, settings.adapter)(name, config, say)
    elif not settings.is_simulated:
        text = f"the adapter {settings.adapter} cannot look at its venue"
        say(Found(what="venue", verdict=Verdict.UNKNOWN, text=text))
    wrong = sum(one.verdict is Verdict.WRONG for one in found)
    if common.json:
        print_json({"venue": name, "ok": not wrong, "found": found})
    else:
        print(f"{name}: {f'{wrong} wrong' if wrong else 'nothing is wrong'}")
    return 1 if wrong else 0


def _say(one: Found) -> None:
    code = f" ({one.code})" if one.code else ""
    write = f"; write {one.write}" if one.write else ""
    print(f"{one.verdict:<8} {one.what}: {one.text}{code}{write}", flush=True)


async def _answers(config: Config) -> tuple[list[VenuesAnswer], str]:
    """What the gateways and the router say; where nobody could be asked, why."""
    import asyncio
    from contextlib import suppress

    from bestex import bus, bus_access, codec, rights, subjects
    from bestex import messages as m
    from bestex.errors import BusError

    try:
        client = await bus.connect(bus_access.find(config, rights.MONITOR), "bestex-venues")
    except BusError as error:
        return [], str(error)
    found: list[VenuesAnswer] = []
    every = {("gateway", name) for name in config.enabled_venues()}
    every |= {("router", name) for name in config.enabled_venues()}
    try:
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox)
        await client.publish(subjects.VENUES, codec.to_json(m.VenuesQuestion()), reply=inbox)
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                while not every <= {(one.service, health.venue) for one in found for health in one.venues}:
                    message = await subscription.next_msg(None)
                    if message.data:  # an account without that service says so with an empty message
                        found.append(codec.from_json(message.data, m.VenuesAnswer))
        return found, ""
    finally:
        await client.close()


def _row(one: Configured, answers: list[VenuesAnswer]) -> dict[str, Any]:
    """The configuration, and beside it what runs."""
    import msgspec

    row: dict[str, Any] = msgspec.to_builtins(one)
    row |= {"running": False, "breaker": None}
    for answer in answers:
        for health in answer.venues:
            if health.venue != one.venue:
                continue
            if answer.service == "router":
                row["breaker"] = health.breaker
            else:
                row |= {"running": True, "process": answer.process, **_gateway(health)}
    return row


def _gateway(health: VenueHealth) -> dict[str, Any]:
    """`kind` is that of the process, which may have been started under another configuration."""
    return {
        "runs_as": health.kind,
        "session": health.session,
        "session_text": health.text,
        "since": None if health.since is None else str(health.since),
        "open_orders": health.open_orders,
        "clock_ahead_ms": health.clock_ahead_ms,
    }


def _print(found: list[Configured], rows: list[dict[str, Any]]) -> None:
    shown = table("venue", "mode", "adapter", "session", "open", "clock", "breaker", "fees, limits", "can")
    for one, row in zip(found, rows, strict=True):
        shown.add_row(
            one.venue,
            _mode(one, row),
            one.adapter,
            _session(one, row),
            str(row.get("open_orders", "")),
            "" if row.get("clock_ahead_ms") is None else f"{row['clock_ahead_ms']:+.0f} ms",
            {None: "", "": "closed"}.get(row["breaker"], row["breaker"]),
            _terms(one),
            _can(one.capabilities),
        )
    console().print(shown)


def _mode(one: Configured, row: dict[str, Any]) -> str:
    """In capitals where money is at stake."""
    runs_as = row.get("runs_as", one.kind)
    differs = f", runs as {runs_as}" if runs_as != one.kind else ""
    return f"{one.kind.upper() if one.kind == 'live' else one.kind}{differs}"


def _session(one: Configured, row: dict[str, Any]) -> str:
    if not one.enabled:
        return "not enabled"
    if not row["running"]:
        return "does not run"
    text = f": {row['session_text']}" if row["session_text"] else ""
    return f"{row['session']}{text}"


def _terms(one: Configured) -> str:
    lines = []
    for symbol, terms in one.instruments.items():
        most = f", order <= {terms.max_order_value}" if terms.max_order_value else ""
        lines.append(f"{symbol} {terms.taker_bps}/{terms.maker_bps} bps{most}")
    if one.max_open_orders is not None:
        lines.append(f"open orders <= {one.max_open_orders}")
    return "\n".join(lines)


def _can(capabilities: Any) -> str:
    """What a person looks for; --json has all."""
    if capabilities is None:
        return "no orders"
    named = ("post_only", "native_replace", "native_iceberg", "min_qty", "conditional", "dead_man")
    tifs = "/".join(sorted(capabilities["tifs"]))
    return " ".join([tifs, *(name for name in named if capabilities[name])])
