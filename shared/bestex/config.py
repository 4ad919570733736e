"""One `bestex.toml`: found by --config, BESTEX_CONFIG or ./bestex.toml, else the packaged default.

`BESTEX__A__B=value` in the environment overlays [a] b. Unknown keys, wrong units and values out of range are
refused with the path of the setting. Money and sizes are decimals here; they become integers in `instruments`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection, Sequence
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from bestex import codec, plugins, sessions
from bestex.clock import SECOND
from bestex.config_fills import FillsConfig
from bestex.config_terms import InstrumentConfig, Name, Port, Section, listing_of, mixed
from bestex.config_venue import REAL, VenueConfig
from bestex.errors import ConfigError, UsageError
from bestex.human import Duration, Ratio
from bestex.impact.settings import ImpactSettings, OwnImpact
from bestex.instruments import Instrument, Instruments
from bestex.limits import LimitsConfig
from bestex.market.dark import DarkFlowSettings

ENV_CONFIG = "BESTEX_CONFIG"
ENV_OVERLAY = "BESTEX__"


class BusConfig(Section, frozen=True, kw_only=True):
    """Keys are files: one by its path (`credentials`), or the one of the own role from `keys_dir`. `ca` signs
    the bus's certificate. `host` is where `bestex up` lets its bus listen."""

    url: str = "nats://127.0.0.1:4222"
    host: str = "127.0.0.1"
    credentials: str = ""
    keys_dir: str = ""
    ca: str = ""
    replicas: Annotated[int, Meta(ge=1, le=5)] = 1
    max_age: Duration = Duration(7 * 86400 * SECOND)


class ExecutionConfig(Section, frozen=True, kw_only=True):
    """`retries` is how often the rest of a slice is routed again; `timeout` how long a venue may take;
    `bus_loss_grace` how long orders rest at a venue while nobody can be told what becomes of them. A venue of which
    nothing could be relied on would count as dearer by `unreliability_bps`; `arrive_together` holds the children for
    near venues back by some milliseconds. For `shadow_share` of the slices every other strategy is priced too."""

    default_algo: str = "twap"
    default_strategy: str = "sweep"
    max_slippage: Ratio = Ratio(0.005)
    retries: Annotated[int, Meta(ge=0, le=100)] = 3
    retry_pause: Duration = Duration(SECOND // 4)
    timeout: Duration = Duration(5 * SECOND)
    bus_loss_grace: Duration = Duration(5 * SECOND)
    slice_ttl: Duration = Duration(10 * SECOND)
    child_ttl: Duration = Duration(2 * SECOND)
    unreliability_bps: Annotated[float, Meta(ge=0, le=1000)] = 2.0
    arrive_together: bool = True
    shadow_share: Ratio = Ratio(0.02)


class BreakerConfig(Section, frozen=True, kw_only=True):
    """After so many `failures` in a row a venue is left alone for `pause`, and twice as long each time that it fails
    when it is tried again, up to `max_pause`."""

    failures: Annotated[int, Meta(ge=1, le=1000)] = 5
    pause: Duration = Duration(2 * SECOND)
    max_pause: Duration = Duration(300 * SECOND)


class SplittingConfig(Section, frozen=True, kw_only=True):
    """`min_split_size` is in quote currency: no leg is made smaller than this by splitting."""

    enabled: bool = True
    min_split_size: Decimal = Decimal(0)
    max_splits: Annotated[int, Meta(ge=1, le=100)] = 10


class MarketDataConfig(Section, frozen=True, kw_only=True):
    """A book that was received more than `max_clock_skew` after our own now is refused: its age is a guess."""

    levels: Annotated[int, Meta(ge=1, le=1000)] = 20
    stale_after: Duration = Duration(2 * SECOND)
    down_after: Duration = Duration(10 * SECOND)
    max_clock_skew: Duration = Duration(5 * SECOND)
    basis: bool = True
    basis_half_life: Duration = Duration(10 * SECOND)


class ExchangeConfig(Section, frozen=True, kw_only=True):
    """The simulated exchange. `preset` names a market model of `bestex.market`; `dark` is by venue, what others place
    in its dark books."""

    host: str = "127.0.0.1"
    port: Port = 18400
    preset: str = "crypto"
    seed: int = 1
    latency: Duration = Duration(2_000_000)
    own_impact: OwnImpact = OwnImpact()
    fills: FillsConfig = FillsConfig()
    recordings: dict[Name, list[str]] = {}
    dark: dict[Name, DarkFlowSettings] = {}


class RecorderConfig(Section, frozen=True, kw_only=True):
    database: str = ".bestex/bestex.db"


class Config(Section, frozen=True, kw_only=True):
    bus: BusConfig = BusConfig()
    data_dir: str = ".bestex"
    venues: dict[Name, VenueConfig] = {}
    instruments: dict[str, InstrumentConfig] = {}
    execution: ExecutionConfig = ExecutionConfig()
    splitting: SplittingConfig = SplittingConfig()
    breaker: BreakerConfig = BreakerConfig()
    algos: dict[Name, dict[str, Any]] = {}
    strategies: dict[Name, dict[str, Any]] = {}
    limits: LimitsConfig = LimitsConfig()
    market_data: MarketDataConfig = MarketDataConfig()
    impact: dict[str, ImpactSettings] = {}
    exchange: ExchangeConfig = ExchangeConfig()
    recorder: RecorderConfig = RecorderConfig()

    def enabled_venues(self) -> tuple[str, ...]:
        return tuple(name for name, venue in self.venues.items() if venue.enabled)

    def chosen_venues(self, names: Sequence[str]) -> tuple[str, ...]:
        """`names`, each once; none means every enabled venue. UsageError for one that is not there or enabled."""
        enabled = self.enabled_venues()
        for name in names:
            if name not in enabled:
                raise UsageError(f"no venue is called {name}; there are {', '.join(enabled) or 'none'}")
        return tuple(dict.fromkeys(names)) or enabled

    def calendars(self) -> dict[str, str]:
        """When each venue trades, by its name."""
        return {name: venue.hours for name, venue in self.venues.items()}

    def sim_url(self, venue: str) -> str:
        """Where the simulated exchange that serves `venue` is found. The address of a venue on paper is that of the
        real one, from which its market's data come."""
        own = self.venues[venue].url if self.venues[venue].is_simulated else ""
        return own or f"http://{self.exchange.host}:{self.exchange.port}"

    def make_instruments(self) -> Instruments:
        """Integer terms for every instrument; listings on disabled venues are left out."""
        made = []
        for symbol, item in self.instruments.items():
            hours = [self.venues[venue].hours for venue in item.venues if self.venues[venue].enabled]
            listings = tuple(
                listing_of(f"instruments.{symbol}.venues.{venue}", symbol, item, venue, terms)
                for venue, terms in item.venues.items()
                if self.venues[venue].enabled
            )
            made.append(
                Instrument(
                    symbol=symbol,
                    price_scale=item.price_scale,
                    qty_scale=item.qty_scale,
                    listings=listings,
                    calendar=item.calendar or sessions.together(hours),
                )
            )
        return Instruments(tuple(made))


def is_chosen(environment: dict[str, str] | None = None) -> bool:
    """Whether the environment or the working directory names a configuration."""
    env = dict(os.environ) if environment is None else environment
    return bool(env.get(ENV_CONFIG)) or Path("bestex.toml").is_file()


def load(path: str | Path | None = None, environment: dict[str, str] | None = None) -> Config:
    """The configuration in force. Raises ConfigError with the path of the wrong setting."""
    env = dict(os.environ) if environment is None else environment
    chosen = path or env.get(ENV_CONFIG) or ("bestex.toml" if Path("bestex.toml").is_file() else None)
    if chosen is None:
        text = (resources.files("bestex") / "default.toml").read_text()
        source = "the packaged default"
    else:
        source = str(chosen)
        try:
            text = Path(chosen).read_text()
        except OSError as error:
            raise ConfigError(f"{source}: cannot be read: {error.strerror}") from None
    return parse(text, source, env)


def parse(text: str, source: str = "configuration", environment: dict[str, str] | None = None) -> Config:
    try:
        tree = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: {error}") from None
    env = environment or {}
    _overlay(tree, env)
    try:
        config = codec.convert(_plain(tree), Config, strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        wrong = _with_path(str(error), ())
        raise ConfigError(f"{_overlaid(wrong, env) or source}: {wrong}") from None
    _check(config, source)
    return config


def _overlay(tree: dict[str, Any], environment: dict[str, str]) -> None:
    for key in sorted(environment):
        if not key.startswith(ENV_OVERLAY):
            continue
        *parents, last = key.removeprefix(ENV_OVERLAY).lower().split("__")
        node = tree
        for part in parents:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise ConfigError(f"{key}: {part} is a setting, not a section")
        node[last] = environment[key]


def _overlaid(wrong: str, environment: dict[str, str]) -> str:
    """The variable that brought the setting of which `wrong` complains; empty where none did."""
    for key in environment:
        if key.startswith(ENV_OVERLAY):
            section, _, name = key.removeprefix(ENV_OVERLAY).lower().replace("__", ".").rpartition(".")
            unknown = f"{section}: Object contains" if section else "Object contains"
            if wrong.startswith(f"{section}.{name}:".lstrip(".")):
                return key
            if wrong.startswith(unknown) and f"`{name}`" in wrong:
                return key
    return ""


def _plain(value: Any) -> Any:
    """Decimals as text where a decimal is wanted and as the same number elsewhere: text converts to both."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Decimal) else value


def _with_path(message: str, section: tuple[str, ...]) -> str:
    """msgspec's "... - at `$.a.b`" as "a.b: ...", below `section`."""
    text, _, path = message.partition(" - at `")
    below = path.rstrip("`").removeprefix("$.")
    path = ".".join([*section, *([below] if below else [])])
    return f"{path}: {text}" if path else text


def _check(config: Config, source: str) -> None:
    adapters = {**plugins.GATEWAYS, **plugins.COLLECTORS}
    for name, venue in config.venues.items():
        if name.endswith(REAL):
            raise ConfigError(
                f"{source}: venues.{name}: names that end in {REAL} are real markets of paper venues"
            )
        _check_name(f"{source}: venues.{name}.adapter", venue.adapter, adapters)
        if wrong := sessions.problem(venue.hours):
            raise ConfigError(f"{source}: venues.{name}.calendar: {wrong}")
        if not 0 < venue.max_volume_pct <= 1:
            raise ConfigError(f"{source}: venues.{name}.max_volume_pct: must be above 0% and at most 100%")
        if not 0 < venue.rate_share <= 1:
            raise ConfigError(f"{source}: venues.{name}.rate_share: must be above 0% and at most 100%")
    for symbol, instrument in config.instruments.items():
        if wrong := sessions.problem(instrument.calendar or sessions.ALWAYS):
            raise ConfigError(f"{source}: instruments.{symbol}.calendar: {wrong}")
        for venue_name in instrument.venues:
            if venue_name not in config.venues:
                raise ConfigError(
                    f"{source}: instruments.{symbol}.venues.{venue_name}: no such venue; "
                    f"there are {', '.join(config.venues) or 'none'}"
                )
        enabled = [(name, config.venues[name]) for name in instrument.venues if config.venues[name].enabled]
        real = [name for name, venue in enabled if venue.is_real]
        if wrong := mixed(real, [name for name, venue in enabled if venue.in_exchange]):
            raise ConfigError(f"{source}: instruments.{symbol}.venues: {wrong}")
    _check_name(f"{source}: execution.default_algo", config.execution.default_algo, plugins.ALGOS)
    _check_name(
        f"{source}: execution.default_strategy", config.execution.default_strategy, plugins.STRATEGIES
    )
    for section, parameters, registry in (
        ("algos", config.algos, plugins.ALGOS),
        ("strategies", config.strategies, plugins.STRATEGIES),
    ):
        for name, given in parameters.items():
            _check_name(f"{source}: {section}.{name}", name, registry)
            problem = _wrong_parameter((section, name), given, plugins.load(registry, name))
            if problem:
                raise ConfigError(f"{source}: {problem}")
    if not 0 <= config.execution.max_slippage < 1:
        raise ConfigError(f"{source}: execution.max_slippage: must be from 0% to below 100%")
    for path, value in (
        ("execution.timeout", config.execution.timeout),
        ("execution.bus_loss_grace", config.execution.bus_loss_grace),
        ("execution.slice_ttl", config.execution.slice_ttl),
        ("execution.child_ttl", config.execution.child_ttl),
        ("market_data.stale_after", config.market_data.stale_after),
        ("limits.max_book_age", config.limits.max_book_age),
        ("limits.collar.max_age", config.limits.collar.max_age),
        ("limits.repeats.window", config.limits.repeats.window),
    ):
        if value <= 0:
            raise ConfigError(f"{source}: {path}: must be longer than nothing")
    wrong = config.limits.problem(config.instruments, config.venues)
    if wrong:
        raise ConfigError(f"{source}: limits.{wrong}")
    if wrong := config.exchange.own_impact.problem():
        raise ConfigError(f"{source}: exchange.own_impact.{wrong}")
    for wrong in config.exchange.fills.problems():
        raise ConfigError(f"{source}: exchange.fills.{wrong}")
    for name in config.exchange.fills.venues:
        _check_name(f"{source}: exchange.fills.venues.{name}", name, config.venues)
    for name in config.exchange.recordings:
        if name in config.venues and config.venues[name].is_live:
            raise ConfigError(
                f"{source}: exchange.recordings.{name}: nobody trades for real on what was recorded; "
                f'write mode = "paper" in [venues.{name}]'
            )
    for name, flow in config.exchange.dark.items():
        _check_name(f"{source}: exchange.dark.{name}", name, config.venues)
        if wrong := flow.problem():
            raise ConfigError(f"{source}: exchange.dark.{name}.{wrong}")
    for symbol, settings in config.impact.items():
        _check_impact(f"{source}: impact.{symbol}", symbol, settings, config)
    config.make_instruments()


def _check_impact(path: str, symbol: str, settings: ImpactSettings, config: Config) -> None:
    instrument = config.instruments.get(symbol)
    if instrument is None:
        raise ConfigError(f"{path}: no such instrument; there are {', '.join(config.instruments) or 'none'}")
    for venue in settings.venues:
        _check_name(f"{path}.venues.{venue}", venue, instrument.venues)
    if problem := settings.problem():
        raise ConfigError(f"{path}.{problem}")


def _check_name(path: str, name: str, there: Collection[str]) -> None:
    if name not in there:
        raise ConfigError(f"{path}: there is no {name}; there are {', '.join(there)}")


def _wrong_parameter(section: tuple[str, ...], given: dict[str, Any], kind: Any) -> str:
    """Why an order could not have given these parameters of an algorithm or strategy; empty where it could."""
    try:
        made = codec.convert(given, kind, strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        return _with_path(str(error), section)
    problem = made.problem() if hasattr(made, "problem") else ""  # only algorithms look at several at once
    return f"{'.'.join(section)}: {problem}" if problem else ""
