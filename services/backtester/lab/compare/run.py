"""`bestex lab compare`: the same parents by every combination, each in a session of its own, over the same market."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import msgspec

from bestex import codec
from bestex import config as configuration
from bestex import messages as m
from bestex.clock import SECOND
from bestex.errors import UsageError
from bestex.fleet import build
from bestex.human import Duration
from bestex.instruments import Instrument
from bestex.market.presets import preset_named
from bestex.units import UnitError
from services.backtester.lab.compare.analysis import Worked, analyse
from services.backtester.lab.compare.page import page
from services.backtester.lab.compare.result import Asked, Comparison, DataFile, headline
from services.backtester.lab.compare.variants import Variant, baseline_of, variants
from services.backtester.lab.compare.work import Job, work
from services.backtester.lab.pool import Pool, jobs_of, progress
from services.backtester.lab.scenario import Placed, Scenario
from services.backtester.lab.statistics import LEVEL
from services.backtester.lab.windows import Dataset, Span, Window, modelled, prepare, windows
from services.backtester.session import START_NS

SESSIONS_MAX = 100_000  # a day of one machine's work; a comparison that needs more is better cut in parts
SIZES_MAX = 20
WARM_UP_MIN_NS = 3 * SECOND  # until every venue's book and the first statistics are there
GRACE_NS = 5 * SECOND  # after its duration an order may end by itself; what has not is cancelled then
PAGE, DATA = "compare.html", "compare.json"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be compared. Times in ns; sizes in base.

    Without `paths` each start is a market of its own, of the model `preset`, and there are `parents` of them; on
    recordings there is one every `every_ns`, as many as fit, and of more than `parents` (0: no bound) the first.
    An empty `config_text` stands for what the recordings say of themselves, or for the packaged configuration.
    """

    paths: tuple[Path, ...] = ()
    preset: str = ""
    config_text: str = ""
    algos: str
    strategies: str = ""
    sizes: tuple[Decimal, ...]
    symbol: str = ""
    side: str = "both"
    duration_ns: int
    every_ns: int
    warm_up_ns: int
    parents: int = 0
    baseline: str = ""
    seed: int = 1
    level: float = LEVEL
    jobs: int = 0
    cache_dir: Path


def compare(request: Request) -> Comparison:
    """UsageError, ConfigError and RecordingError with a sentence; else what `Comparison` holds."""
    chosen = variants(request.algos, request.strategies)
    baseline = baseline_of(chosen, request.baseline)
    sides = _sides(request.side)
    jobs = jobs_of(request.jobs)
    _check(request)
    dataset = _dataset(request)
    config = configuration.parse(dataset.config_text, "the comparison's configuration")
    instrument = _instrument(request.symbol, config.make_instruments().all)
    sizes = _sizes(request.sizes, instrument)
    starts = _starts(request, dataset)
    if (count := len(starts) * len(sides) * len(sizes) * len(chosen)) > SESSIONS_MAX:
        raise UsageError(
            f"{len(starts)} starts, {len(sides)} sides, {len(sizes)} sizes and {len(chosen)} combinations are "
            f"{count} sessions; at most {SESSIONS_MAX} at once"
        )
    spans = [Span(at - request.warm_up_ns, at + request.duration_ns + GRACE_NS) for at in starts]
    made = [
        _job(request, dataset, window, variant, instrument.symbol, side, size, number)
        for number, window in enumerate(windows(dataset, spans))
        for size in sizes
        for side in sides
        for variant in chosen
    ]
    with Pool(min(jobs, len(made))) as pool, progress(len(made), "working the parents") as step:
        worked = pool.map(work, made, step)
    _refuse(worked)
    analysis = analyse(
        worked,
        [one.name for one in chosen],
        baseline,
        seed=request.seed,
        block=1.0 if request.preset else None,
        block_min=1.0 if request.preset else (request.duration_ns + GRACE_NS) / request.every_ns,
        level=request.level,
    )
    return Comparison(
        build=build(),
        data=[DataFile(file=file, sha256=sha256) for file, sha256 in dataset.sha256.items()],
        config=dataset.config_text,
        config_sha256=hashlib.sha256(dataset.config_text.encode()).hexdigest(),
        asked=Asked(
            symbol=instrument.symbol,
            sides=[str(side) for side in sides],
            sizes=list(sizes),
            duration_ns=request.duration_ns,
            every_ns=request.every_ns,
            warm_up_ns=request.warm_up_ns,
            starts_ns=starts,
            baseline=baseline,
            variants=chosen,
            seed=request.seed,
            level=request.level,
            preset=request.preset,
        ),
        analysis=analysis,
        headline=headline(analysis),
        parents=worked,
    )


def write(found: Comparison, folder: Path) -> list[Path]:
    """The page and the JSON, in place of those of an earlier comparison there."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / PAGE, folder / DATA]
    paths[0].write_text(page(found), encoding="utf-8")
    paths[1].write_bytes(codec.to_json(found) + b"\n")
    return paths


def _check(request: Request) -> None:
    if bool(request.paths) == bool(request.preset):
        raise UsageError("name recordings, or a market model with --simulate; one of both")
    for option, value in (("--duration", request.duration_ns), ("--every", request.every_ns)):
        if value <= 0:
            raise UsageError(f"{option}: must be longer than nothing")
    if request.warm_up_ns < WARM_UP_MIN_NS:
        raise UsageError(
            f"--warm-up {Duration(request.warm_up_ns)}: at least {Duration(WARM_UP_MIN_NS)}, until there are books"
        )
    if request.parents < 0 or (request.preset and not request.parents):
        raise UsageError(f"--parents {request.parents}: how many start times, at least 1")
    if not 0.5 <= request.level < 1:
        raise UsageError(f"--level {request.level:g}: from 0.5 to below 1, such as 0.95")
    if not request.sizes or len(request.sizes) > SIZES_MAX:
        raise UsageError(f"--sizes: from 1 to {SIZES_MAX} sizes with commas between them, such as 0.5,2")
    if twice := next((size for size in request.sizes if request.sizes.count(size) > 1), None):
        raise UsageError(f"--sizes: {twice:f} is named twice")


def _sides(text: str) -> list[m.Side]:
    if text == "both":
        return [m.Side.BUY, m.Side.SELL]
    try:
        return [m.Side(text)]
    except ValueError:
        raise UsageError(f'--side "{text}": buy, sell or both') from None


def _dataset(request: Request) -> Dataset:
    if request.paths:
        return prepare(request.paths, request.cache_dir, request.config_text)
    preset_named(request.preset)
    text = with_preset(request.config_text, request.preset)
    length_ns = request.warm_up_ns + request.parents * request.every_ns + request.duration_ns + GRACE_NS
    return modelled(text, START_NS, length_ns)


def with_preset(text: str, preset: str) -> str:
    """A configuration's text with `exchange.preset` set."""
    line = f'preset = "{preset}"'
    header = re.search(r"^\[exchange\][^\n]*\n", text, re.M)
    if header is None:
        text = f"{text.rstrip()}\n\n[exchange]\n{line}\n"
    else:
        before, section = text[: header.end()], text[header.end() :]
        following = re.search(r"^\[", section, re.M)
        end = len(section) if following is None else following.start()
        own = re.sub(r"^\s*preset\s*=[^\n]*\n?", "", section[:end], flags=re.M)
        text = f"{before}{line}\n{own}{section[end:]}"
    found = configuration.parse(text, "the configuration with --simulate").exchange.preset
    assert found == preset, "it was written there"
    return text


def _instrument(symbol: str, instruments: Sequence[Instrument]) -> Instrument:
    there = {one.symbol: one for one in instruments}
    if not symbol and len(there) == 1:
        return instruments[0]
    if symbol not in there:
        asked = (
            f'there is no symbol "{symbol}"'
            if symbol
            else "there are several symbols; name one with --symbol"
        )
        raise UsageError(f"{asked}; there are {', '.join(sorted(there))}")
    return there[symbol]


def _sizes(sizes: Sequence[Decimal], instrument: Instrument) -> tuple[Decimal, ...]:
    for size in sizes:
        lot, least = instrument.qty(instrument.lot), instrument.qty(instrument.min_qty)
        try:
            units = instrument.qty_units(size)
        except UnitError:
            units = 0  # finer than a unit, and so than a lot
        if units <= 0 or units % instrument.lot:
            raise UsageError(f"--sizes {size:f}: not a multiple of {instrument.symbol}'s lot {lot:f}")
        if units < instrument.min_qty:
            raise UsageError(f"--sizes {size:f}: below the least of {instrument.symbol}, {least:f}")
    return tuple(sizes)


def _starts(request: Request, dataset: Dataset) -> list[int]:
    first_ns = dataset.begin_ns + request.warm_up_ns
    last_ns = dataset.end_ns - request.duration_ns - GRACE_NS
    if last_ns < first_ns:
        needed = Duration(request.warm_up_ns + request.duration_ns + GRACE_NS)
        raise UsageError(
            f"the recording is {(dataset.end_ns - dataset.begin_ns) / SECOND:.0f} s long, and one parent needs "
            f"{needed}: a shorter --duration or --warm-up, or more recordings"
        )
    starts = list(range(first_ns, last_ns + 1, request.every_ns))
    return starts[: request.parents] if request.parents else starts


def _job(
    request: Request,
    dataset: Dataset,
    window: Window,
    variant: Variant,
    symbol: str,
    side: m.Side,
    size: Decimal,
    number: int,
) -> Job:
    """The parent has the same id in every combination, so that what is drawn from it is the same too."""
    params = {"duration": str(Duration(request.duration_ns)), **variant.params}
    start_ns = window.begin_ns + request.warm_up_ns
    order = m.ParentOrder(
        symbol=symbol,
        side=side,
        qty=size,
        algo=variant.algo,
        params=params,
        strategy=variant.strategy,
        strategy_params=variant.strategy_params,
        parent_id=f"{number}-{side}",
    )
    seed = request.seed + number if request.preset else request.seed
    return Job(
        variant=variant.name,
        scenario=Scenario(
            window=window,
            placed=(Placed(order=order, at_ns=start_ns, end_by_ns=window.end_ns),),
            config_text=dataset.config_text,
            seed=seed,
        ),
    )


def _refuse(worked: Sequence[Worked]) -> None:
    """UsageError where a combination could work none of its parents: there is nothing to compare."""
    for name in dict.fromkeys(one.variant for one in worked):
        own = [one for one in worked if one.variant == name]
        if all(one.costs is None for one in own):
            first = own[0]
            said = (
                f"{first.text} ({first.reason})"
                if first.text
                else "no book was known when it arrived or ended"
            )
            raise UsageError(f"{name}: none of its {len(own)} parents has a cost; the first one: {said}")
