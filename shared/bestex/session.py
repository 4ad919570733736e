"""What one `bestex up` runs with: the configuration in force, its processes, their environment."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bestex import bus_setup, live, plugins
from bestex import config as configuration
from bestex.bus_address import ENV_URL
from bestex.bus_setup import Setup
from bestex.clock import ENV_CLOCK, SECOND, AffineClock
from bestex.config import ENV_CONFIG, Config, RecorderConfig
from bestex.errors import UsageError
from bestex.ports import PortClaim, claim_port
from bestex.server import is_loopback
from bestex.supervisor import ServiceSpec, Supervisor, service_specs

ENV_TAPE = "BESTEX_TAPE"
REPLAY_HEAD_START_NS = 3 * SECOND  # the services come up before the recording's first message is due


@dataclass(frozen=True, kw_only=True)
class Options:
    """As `bestex up` takes them. `data_dir` None: the configuration's. `any_port`: take free ports."""

    config: Path | None = None
    data_dir: Path | None = None
    split: bool = False
    tape: Path | None = None
    replay: tuple[Path, ...] = ()
    speed: float = 1.0
    any_port: bool = False
    host: str = ""


@dataclass(frozen=True)
class Session:
    """`claims`: its ports, its own as long as it is held."""

    config: Config
    config_path: str
    data_dir: Path
    specs: list[ServiceSpec]
    environment: dict[str, str]
    nats_url: str
    nats_port: int
    setup: Setup | None
    split: bool
    claims: tuple[PortClaim, ...]

    def supervisor(self, tell: Callable[[str], None]) -> Supervisor:
        return Supervisor(
            self.config,
            self.specs,
            self.data_dir,
            self.environment,
            nats_url=self.nats_url,
            nats_port=self.nats_port,
            setup=self.setup,
            split=self.split,
            tell=tell,
        )


def prepare(options: Options) -> Session:
    """Raises ConfigError or UsageError; makes the data directory, starts nothing."""
    if options.speed <= 0:
        raise UsageError(f"--speed {options.speed:g}: must be above 0")
    if options.speed != 1 and not options.replay:
        raise UsageError("--speed needs --replay FILE; live time runs at its own speed")
    path = options.config or (os.environ.get(ENV_CONFIG) or "")
    if not path and Path("bestex.toml").is_file():
        path = "bestex.toml"
    base = configuration.load(path or None)
    data_dir = (options.data_dir or Path(base.data_dir)).resolve()
    data_dir.mkdir(parents=True, exist_ok=True)
    environment = {"BESTEX__DATA_DIR": str(data_dir)}
    if base.recorder == RecorderConfig():
        environment["BESTEX__RECORDER__DATABASE"] = str(data_dir / "bestex.db")
    if options.replay:
        from bestex import replay_config  # its readers are of no use to a live session

        base_text = Path(path).read_text() if path else ""
        text, origin_ns = replay_config.derive(options.replay, base_text, data_dir / "replay")
        path = str(data_dir / "replay.toml")
        Path(path).write_text(text)
        wall_ns = time.time_ns()
        clock = AffineClock(origin_ns - int(REPLAY_HEAD_START_NS * options.speed), wall_ns, options.speed)
        environment[ENV_CLOCK] = clock.encode()
    if path:
        environment[ENV_CONFIG] = str(Path(path).resolve())
    if options.tape is not None:
        options.tape.mkdir(parents=True, exist_ok=True)
        environment[ENV_TAPE] = str(options.tape.resolve())
    exchange = claim_port(0 if options.any_port else base.exchange.port)
    if exchange.port != base.exchange.port:
        environment["BESTEX__EXCHANGE__PORT"] = str(exchange.port)
    if options.host:
        environment["BESTEX__BUS__HOST"] = options.host
    nats_url = os.environ.get(ENV_URL, "")
    setup = None
    if not nats_url:
        config = configuration.load(environment.get(ENV_CONFIG), {**os.environ, **environment})
        setup = bus_setup.init(data_dir / "bus", config, certified_hosts(config.bus.host))
        environment["BESTEX__BUS__CREDENTIALS"] = ""
        environment["BESTEX__BUS__KEYS_DIR"] = str(setup.keys_dir)
        environment["BESTEX__BUS__CA"] = str(setup.ca or "")
    config = configuration.load(environment.get(ENV_CONFIG), {**os.environ, **environment})
    wanted = 0 if options.any_port else urlsplit(config.bus.url.partition(",")[0]).port or 0
    for name in config.enabled_venues():
        live.check(name, config, AffineClock.parse(environment.get(ENV_CLOCK, "")))
    nats = claim_port(wanted)
    return Session(
        config=config,
        config_path=environment.get(ENV_CONFIG, ""),
        data_dir=data_dir,
        specs=service_specs(config, tuple(plugins.ALGOS), split=options.split),
        environment=environment,
        nats_url=nats_url,
        nats_port=nats.port,
        setup=setup,
        split=options.split,
        claims=(exchange, nats),
    )


def certified_hosts(host: str) -> tuple[str, ...]:
    """What the bus's certificate must name when the bus listens on `host`: nothing on loopback, where no TLS is
    spoken. Beyond it there is always TLS: keys prove who a client is, but hide nothing."""
    if is_loopback(host):
        return ()
    names = ["localhost", "127.0.0.1", socket.gethostname()]
    return tuple(dict.fromkeys(names if host in ("0.0.0.0", "::") else (*names, host)))
