"""`bestex up`, `doctor`, `audit` and `streams`: run the platform and see that it is well."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from bestex.cli.common import COMMON, Common, console, print_json, table

if TYPE_CHECKING:
    from bestex.bus_access import Access
    from bestex.supervisor import Supervisor

streams_app = App(
    name="streams", help="The bus's streams: create them, or check them.", help_format="plaintext"
)


async def up(
    *,
    split: Annotated[bool, Parameter(negative="")] = False,
    replay: Annotated[list[Path] | None, Parameter(negative="", consume_multiple=True)] = None,
    speed: float = 1.0,
    tape: Path | None = None,
    data_dir: Path | None = None,
    host: str = "",
    common: Common = COMMON,
) -> int:
    """Start the bus, the streams and every service on this machine, and keep them running until ctrl-C.

    bestex up
    bestex up --config bestex.toml --split
    bestex up --replay spot.rec perp.rec --speed 10 --tape tapes

    A bus that NATS_URL names is used instead of an own one. The services' logs are in <data dir>/logs.

    Parameters
    ----------
    split
        One process per venue, algorithm and symbol, as in a cluster.
    replay
        Recordings to trade on instead of the market model.
    speed
        How many times faster than recorded.
    tape
        Directory for tapes of every service's inputs, for `bestex retrace`.
    data_dir
        Where the bus, the exchange and the recorder keep what they store, the keys, and the logs.
    host
        Where the bus listens, else the configuration's; beyond loopback it speaks TLS.
    """
    from bestex import bus_address, session
    from bestex.clock import ENV_CLOCK

    prepared = session.prepare(
        session.Options(
            config=common.config,
            data_dir=data_dir,
            split=split,
            tape=tape,
            replay=tuple(replay or ()),
            speed=speed,
            host=host,
        )
    )
    supervisor = prepared.supervisor(lambda text: print(f"bestex: {text}", file=sys.stderr, flush=True))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    starting = asyncio.create_task(supervisor.start())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():  # told to stop before all was up
        starting.cancel()
        await asyncio.wait({starting})
        return 0
    await starting
    note = bus_address.BusNote(
        url=supervisor.url,
        pid=os.getpid(),
        config=prepared.config_path,
        clock=prepared.environment.get(ENV_CLOCK, ""),
        credentials=str(supervisor.user.key or ""),
        ca=str(supervisor.user.ca or ""),
    )
    bus_address.write_note(prepared.data_dir, note)
    try:
        kinds = {name: prepared.config.venues[name].kind for name in prepared.config.enabled_venues()}
        _print_status(supervisor, prepared.data_dir, kinds, common)
        await stopping
    finally:
        bus_address.remove_note(prepared.data_dir)
        await supervisor.stop()
    return 0


def _print_status(supervisor: Supervisor, data_dir: Path, kinds: Mapping[str, str], common: Common) -> None:
    rows = [
        {"name": child.spec.name, "pid": child.pid, "state": child.state, "restarts": child.restarts.count}
        for child in supervisor.children
    ]
    if common.json:
        print_json(
            {
                "url": supervisor.url,
                "credentials": str(supervisor.user.key or ""),
                "ca": str(supervisor.user.ca or ""),
                "data_dir": str(data_dir),
                "services": rows,
                "venues": kinds,
            }
        )
        return
    if supervisor.server is not None:
        rows.insert(0, {"name": "nats-server", "pid": supervisor.server.pid, "state": "ready", "restarts": 0})
    for row in rows:
        print(f"{row['name']:<24} pid {row['pid']:<8} {row['state']}  restarts {row['restarts']}")
    for kind in ("live", "paper"):
        if names := [name for name, one in kinds.items() if one == kind]:
            what = "ORDERS ARE REALLY SENT" if kind == "live" else "real market, nothing is sent"
            print(f"{kind}: {what}: {', '.join(names)}")
    for line in for_raw_clients(supervisor.user):
        print(line)
    print(
        f"ready: the bus is at {supervisor.url}, logs are in {data_dir / 'logs'}; ctrl-C stops all",
        flush=True,
    )


def for_raw_clients(user: Access) -> list[str]:
    """The lines that any NATS client needs: the shell's variables that the `nats` command reads."""
    known = (("NATS_URL", user.url), ("NATS_NKEY", user.key), ("NATS_CA", user.ca))
    return [f"export {name}={value}" for name, value in known if value]


async def doctor(*, common: Common = COMMON) -> int:
    """Look at the bus, the streams, every service and every book, and say how to repair what is wrong.

    bestex doctor
    bestex doctor --json

    Exit code: 0 all is well, 1 something is not.
    """
    from bestex import bus_access, bus_address, rights
    from bestex.cli.examine import examine

    config = common.load()
    findings = await examine(config, bus_access.find(config, rights.MONITOR), bus_address.find_clock(config))
    well = all(finding.ok for finding in findings)
    if common.json:
        print_json({"ok": well, "findings": findings})
        return 0 if well else 1
    from rich.text import Text

    rows = table("", "what", "how it is")
    for finding in findings:
        rows.add_row(Text("ok", "green") if finding.ok else Text("!!", "red"), finding.what, finding.text)
    out = console()
    out.print(rows)
    for finding in findings:
        if finding.remedy:
            out.print(f"{finding.what}: {finding.remedy}")
    out.print("all is well" if well else "something is wrong")
    return 0 if well else 1


async def audit(*, complete: Annotated[bool, Parameter(negative="")] = False, common: Common = COMMON) -> int:
    """Check every promise from the streams and the simulated venues' own journals.

    bestex audit
    bestex audit --complete --json

    Exit code: 0 no anomaly, 1 at least one.

    Parameters
    ----------
    complete
        Nothing is at work any more: every order must have ended.
    """
    from bestex import bus_access, rights
    from bestex.audit import run_audit

    config = common.load()
    report = await run_audit(
        bus_access.find(config, rights.MONITOR),
        journals=Path(config.data_dir) / "exchange",
        complete=complete,
        book_age_ns=config.limits.max_book_age + config.market_data.max_clock_skew,
    )
    if common.json:
        print_json(report.builtins())
    else:
        print(report.text())
    return 0 if report.ok else 1


@streams_app.command
async def apply(*, split: Annotated[bool, Parameter(negative="")] = False, common: Common = COMMON) -> None:
    """Create the streams and consumers that are missing, and update streams that differ. Safe to repeat.

    bestex streams apply
    NATS_URL=nats://10.0.0.5:4222 bestex streams apply --config bestex.toml

    Parameters
    ----------
    split
        For one scheduler an algorithm, instead of one for all.
    """
    from bestex import bus, bus_access, rights, streams

    config = common.load()
    client = await bus.connect(bus_access.find(config, rights.PROVISIONER), "bestex-streams")
    try:
        outcome = await streams.apply(client, config, split=split)
    finally:
        await client.close()
    if common.json:
        print_json({"streams": dict(outcome)})
        return
    for name, word in outcome:
        print(f"{name:<32} {word}")


@streams_app.command
async def accept(stream: str, /, *, reason: str, common: Common = COMMON) -> None:
    """Take a damaged stream as it is, so that services that refuse to start on it start again.

    bestex streams accept SCHED --reason "restored from the backup of 06:00, audited"

    What was lost stays lost. Restore the stream from a replica or a backup first if there is one, and look with
    `bestex audit` what is missing. The word is kept in the stream CONTROL, with who gave it.

    Parameters
    ----------
    reason
        Why this is right, for whoever reads it later.
    """
    from getpass import getuser

    from bestex import bus, bus_access, codec, marks, rights, subjects
    from bestex import messages as m
    from bestex.clock import AffineClock, Time
    from bestex.errors import BusError, UsageError

    config = common.load()
    client = await bus.connect(bus_access.find(config, rights.OPERATOR), "bestex-streams")
    try:
        info = await bus.api(client, f"STREAM.INFO.{stream}", {})
        if "error" in info:
            raise UsageError(
                f"stream {stream}: {info['error'].get('description')}; see `bestex streams check`"
            )
        word = m.StreamAccepted(
            stream=stream,
            created=info["created"],
            last_seq=info["state"]["last_seq"],
            holes=marks.holes(info),
            reason=reason,
            by=getuser(),
            at=Time(AffineClock.from_environment().now_ns()),
        )
        ack = await bus.publish(client, subjects.accept(stream), codec.to_json(word))
        if ack.error is not None:
            raise BusError(f"not recorded: {ack.error.description}")
    finally:
        await client.close()
    if common.json:
        print_json(word)
    else:
        print(
            f"{stream} is taken as it is: it ends at {word.last_seq} and lacks {word.holes} messages before that"
        )


@streams_app.command
async def check(*, common: Common = COMMON) -> None:
    """Compare the streams with what the configuration needs; changes nothing.

    bestex streams check
    """
    from bestex import bus, bus_access, rights, streams

    config = common.load()
    client = await bus.connect(bus_access.find(config, rights.MONITOR), "bestex-streams")
    try:
        await streams.verify(client, config)
    finally:
        await client.close()
    names = [spec.name for spec in streams.specs(config)]
    if common.json:
        print_json({"ok": True, "streams": names})
    else:
        print(f"all {len(names)} streams are as they must be")
