"""One service as one process: `run("router", build)` is all that a `__main__.py` says.

Exit codes tell the supervisor what to do: 0 was asked to stop, 2 is misconfigured and will stay so, 3 lost a
history or its work to another process and must reload, 4 finds a stream damaged and waits for a person, 1
anything else.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

import bestex.lean_nats  # noqa: F401

# isort: split

import nats.errors
import nats.micro
import structlog
import uvloop
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.micro.request import Request
from nats.micro.service import EndpointConfig
from nats.micro.service import Service as MicroService

from bestex import bus, bus_access, codec, fleet, keeper, log
from bestex import config as configuration
from bestex.clock import AffineClock
from bestex.config import Config
from bestex.errors import BusError, ConfigError, Fenced, Forbidden, StreamDamaged, StreamMismatch, UsageError
from bestex.runtime import Build, Runtime
from bestex.service import Service
from bestex.tape import Header, Tape, tape_path

if TYPE_CHECKING:
    from aiohttp import web

EXIT_FAILED, EXIT_MISCONFIGURED, EXIT_FENCED, EXIT_DAMAGED = 1, 2, 3, 4

PORT_MAX = 65_535
ALL = "all"  # the names of a process that was started for everything
# Young garbage is looked for as ever, all of it hardly ever: with 10,000 parents at work that takes some 60 ms, in
# which nothing is sent (`tests.bench.algos`). What is in no circle, as all that cores keep, needs no looking for.
GC_THRESHOLDS = 10_000, 20, 1_000
# Nothing durable waits for it. nats-py's own drain takes half a minute where the bus is away and it is not known yet.
FLUSH_S_MAX = 2.0
GIVEN_BACK_S_MAX = 1.0  # a process that lost its work does not wait longer to be rid of it

ENV_TAPE = "BESTEX_TAPE"
ENV_HTTP_PORT = "BESTEX_HTTP_PORT"
ENV_HTTP_HOST = "BESTEX_HTTP_HOST"


class Host(Protocol):
    """What runs a service on the bus: `Runtime`, or a shell of the service's own with the same life."""

    stopping: bool
    stopped: asyncio.Future[Exception | None]

    @property
    def is_ready(self) -> bool: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def fail(self, error: Exception) -> None: ...
    def doubt(self) -> None: ...
    def renew_pulls(self) -> None: ...
    async def give_back(self) -> None: ...


MakeHost = Callable[
    [Service, Client, Config, AffineClock, structlog.stdlib.BoundLogger, Tape | None],
    Host,
]


def run(name: str, build: Build, make_host: MakeHost = Runtime) -> None:
    """Parse the command line, build the service, run it until it is told to stop. Does not return."""
    parser = argparse.ArgumentParser(prog=f"python -m services.{name}")
    parser.add_argument("names", nargs="*", help="what this process works on; none or `all` for everything")
    parser.add_argument(
        "--config", help="path of bestex.toml (else BESTEX_CONFIG, else the packaged default)"
    )
    parser.add_argument(
        "--checkpoint",
        action="store_true",
        help="make a checkpoint of the journal and end: see `bestex.keeper`",
    )
    parser.add_argument("--tape", default=os.environ.get(ENV_TAPE), help="directory for a tape of the inputs")
    arguments = parser.parse_args()
    gc.disable()  # until it is ready: what a start reads stays, and to look through it again and again finds nothing
    logger = log.configure(name)
    try:
        config = configuration.load(arguments.config)
        names = tuple(item for item in arguments.names if item != "all")
        service = build(config, names)
        http_port()
    except (ConfigError, UsageError) as error:
        logger.error("misconfigured", error=str(error))
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(EXIT_MISCONFIGURED)
    if arguments.checkpoint:
        sys.exit(uvloop.run(keeper.make_once(service, config, logger)))
    command = [sys.executable, "-m", f"services.{name}", *names, "--checkpoint"]
    command += ["--config", arguments.config] if arguments.config else []
    sys.exit(uvloop.run(_serve(service, config, arguments.tape, logger, make_host, command)))


async def _serve(
    service: Service,
    config: Config,
    tape_dir: str | None,
    logger: structlog.stdlib.BoundLogger,
    make_host: MakeHost,
    make_checkpoint: Sequence[str],
) -> int:
    loop = asyncio.get_running_loop()
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_stop.set)

    runtime: Host | None = None

    async def on_closed() -> None:
        if runtime is not None and not runtime.stopping:
            runtime.fail(ConnectionError("the connection to the bus was closed for good"))

    async def on_disconnected() -> None:
        if runtime is not None:
            runtime.doubt()

    async def on_reconnected() -> None:
        logger.warning("reconnected to the bus")
        if runtime is not None:
            runtime.renew_pulls()

    def on_error(error: Exception) -> None:
        logger.warning("bus error", error=str(error) or repr(error))
        # A service that lacks a right must not wait for what will never come.
        if isinstance(error, Forbidden) and runtime is not None:
            runtime.fail(error)

    clock = AffineClock.from_environment()
    tape = None
    micro: MicroService | None = None
    kept: keeper.Keeper | None = None
    http: web.AppRunner | None = None
    try:
        client = await bus.connect(
            bus_access.of_service(config, service.name, service.names),
            f"bestex-{service.name}",
            on_closed=on_closed,
            on_disconnected=on_disconnected,
            on_reconnected=on_reconnected,
            on_error=on_error,
        )
        if tape_dir:
            header = Header(
                service=service.name,
                names=service.names,
                config=codec.to_json(config).decode(),
                version=fleet.build(),
            )
            tape = Tape(tape_path(tape_dir, service, clock.now_ns()), header)
        runtime = make_host(service, client, config, clock, logger, tape)
        http = await _serve_http(runtime)
        await _report(client, service, clock)
        starting = asyncio.create_task(runtime.start())
        ends: list[asyncio.Future[Any]] = [starting, runtime.stopped]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLDS)
            gc.enable()
            micro = await _announce(client, service, clock)
            logger.info("ready", names=service.names)
            if service.keeps is not None and tape is None and isinstance(runtime, Runtime):
                kept = keeper.Keeper(runtime, make_checkpoint, logger)
            ends = [asyncio.create_task(asked_to_stop.wait()), runtime.stopped]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        starting.cancel()
        if runtime.stopped.done() and (error := runtime.stopped.result()) is not None:
            if isinstance(error, Fenced):
                await _give_back(client, runtime)
            raise error
        logger.info("stopping")
        with suppress(nats.errors.Error, TimeoutError):  # where the bus is away there is nobody to be told
            if micro is not None and client.is_connected:
                await asyncio.wait_for(micro.stop(), FLUSH_S_MAX)
        await runtime.stop()
        with suppress(nats.errors.Error):
            await client.flush(timeout=FLUSH_S_MAX)  # type: ignore[arg-type]  # what was heard last of it goes out
        await client.close()
    except Fenced as error:
        logger.error("fenced: another writer holds this history", error=str(error))
        return EXIT_FENCED
    except StreamDamaged as error:
        logger.error("a stream is damaged", error=str(error))
        print(f"{service.name}: {error}", file=sys.stderr)
        return EXIT_DAMAGED
    except StreamMismatch as error:
        logger.error("the streams are not as they must be", error=str(error))
        return EXIT_MISCONFIGURED
    except ConfigError as error:
        logger.error("misconfigured", error=str(error))
        print(f"{service.name}: {error}", file=sys.stderr)
        return EXIT_MISCONFIGURED
    except Forbidden as error:
        logger.error("the bus does not let this process work", error=str(error))
        print(f"{service.name}: {error}", file=sys.stderr)
        return EXIT_MISCONFIGURED
    except (BusError, nats.errors.Error) as error:
        logger.error("the bus failed", error=str(error))
        return EXIT_FAILED
    except Exception:
        logger.exception("failed")
        return EXIT_FAILED
    finally:
        if kept is not None:
            await kept.stop()
        if tape is not None:
            tape.close()
        if http is not None:
            await http.cleanup()
    return 0


async def _give_back(client: Client, runtime: Host) -> None:
    """Another process is at this work now: what this one was given and had not done goes to that one at once."""
    with suppress(nats.errors.Error):  # where the bus is away, it comes to that one when its time is over
        await runtime.give_back()
        await client.flush(timeout=GIVEN_BACK_S_MAX)  # type: ignore[arg-type]  # nothing is read after it


async def _report(client: Client, service: Service, clock: AffineClock) -> None:
    """Answer for this very process, and not for one of several: so without a queue group, unlike nats.micro."""
    for subject, answer in service.reports.items():

        async def handle(message: Msg, answer=answer) -> None:  # type: ignore[no-untyped-def]
            if message.reply:
                with suppress(nats.errors.Error):  # whoever asked asks again
                    await message.respond(answer(message.data, clock.now_ns()))

        await client.subscribe(subject, cb=handle)


async def _announce(client: Client, service: Service, clock: AffineClock) -> MicroService:
    """Answer $SRV.PING, INFO and STATS, and the service's requests. Announced only when ready."""
    micro = await nats.micro.add_service(
        client,
        name=f"bestex-{service.name}",
        version=fleet.package_version(),
        description=f"bestex {service.name}",
        metadata={
            "ready": "true",
            "names": ",".join(service.names) or ALL,
            "pid": str(os.getpid()),
            "build": fleet.build(),
        },
    )
    for subject, answer in service.answers.items():

        async def handle(request: Request, answer=answer) -> None:  # type: ignore[no-untyped-def]
            await request.respond(answer(request.data, clock.now_ns()))

        await micro.add_endpoint(
            EndpointConfig(name=subject.rpartition(".")[2], subject=subject, handler=handle)
        )
    return micro


def http_port() -> int:
    """The port that the environment asks for, 0 for none. ConfigError where it is none."""
    text = os.environ.get(ENV_HTTP_PORT, "") or "0"
    if not text.isdecimal() or int(text) > PORT_MAX:  # uvloop would take it modulo 65536
        raise ConfigError(f"{ENV_HTTP_PORT}={text}: must be a port from 1 to {PORT_MAX}, or 0 for none")
    return int(text)


async def _serve_http(runtime: Host) -> web.AppRunner | None:
    """/healthz, /readyz and /metrics, where a port is given. Liveness does not depend on the bus."""
    port = http_port()
    if not port:
        return None
    # A process without probes starts a tenth of a second sooner without a web server.
    from aiohttp import web
    from prometheus_client import generate_latest

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(status=200 if runtime.is_ready else 503, text=f"ready={runtime.is_ready}\n")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), content_type="text/plain", charset="utf-8")

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, os.environ.get(ENV_HTTP_HOST, "127.0.0.1"), port).start()
    return runner


__all__ = ["EXIT_DAMAGED", "EXIT_FAILED", "EXIT_FENCED", "EXIT_MISCONFIGURED", "run"]
