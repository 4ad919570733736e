"""`python -m services.exchange [--host H] [--port N] [--config FILE]`: the simulated exchange."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from typing import Any

import structlog
import uvloop
from aiohttp import web

from bestex import config as configuration
from bestex import log
from bestex.clock import AffineClock
from bestex.config import Config
from bestex.errors import BestexError, ConfigError
from bestex.process import EXIT_FAILED, EXIT_MISCONFIGURED, PORT_MAX
from services.exchange.api import make_app
from services.exchange.heard import Ears
from services.exchange.shell import Exchange

SHUTDOWN_S = 2.0  # how long connections may take to close


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m services.exchange")
    parser.add_argument("--host", help="address to listen on (else exchange.host)")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for a free one (else exchange.port)")
    parser.add_argument("--config", help="path of bestex.toml (else BESTEX_CONFIG, else the packaged one)")
    arguments = parser.parse_args()
    logger = log.configure("exchange")
    try:
        config = configuration.load(arguments.config)
        host = arguments.host or config.exchange.host
        port = config.exchange.port if arguments.port is None else arguments.port
        if not 0 <= port <= PORT_MAX:  # uvloop would take it modulo 65536
            raise ConfigError(f"--port {port}: must be from 0 to {PORT_MAX}")
        code = uvloop.run(_serve(config, host, port, logger))
    except BestexError as error:
        logger.error("cannot run", error=str(error))
        print(f"exchange: {error}", file=sys.stderr)
        code = EXIT_MISCONFIGURED if isinstance(error, ConfigError) else EXIT_FAILED
    sys.exit(code)


async def _serve(config: Config, host: str, port: int, logger: structlog.stdlib.BoundLogger) -> int:
    """Serve until SIGTERM. An error in any callback ends the process: it restarts from its journal."""
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[int] = loop.create_future()

    def stop(code: int) -> None:
        if not stopped.done():
            stopped.set_result(code)

    def fail(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        logger.error("failed", error=context["message"], exc_info=context.get("exception"))
        stop(EXIT_FAILED)

    loop.set_exception_handler(fail)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, 0)

    exchange = Exchange(config, AffineClock.from_environment(), logger)
    exchange.start()
    runner = web.AppRunner(make_app(exchange), access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
    except OSError as error:
        # Whoever has the port now may give it back: worth another start.
        raise BestexError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    logger.info("ready", host=host, port=runner.addresses[0][1], venues=exchange.sim.venues)
    working = [asyncio.create_task(exchange.run())]
    if heard := exchange.heard():
        working.append(asyncio.create_task(Ears(config, heard, exchange.now_ns).run()))
    for task in working:
        task.add_done_callback(lambda task: None if task.cancelled() else stop(EXIT_FAILED))
    code = await stopped
    for task in working:
        if task.done() and (failure := task.exception()) is not None:
            logger.error("failed", error=str(failure), exc_info=failure)
        task.cancel()
    await asyncio.gather(*working, return_exceptions=True)
    logger.info("stopping")
    await runner.cleanup()
    await exchange.stop()
    return code


if __name__ == "__main__":
    main()
