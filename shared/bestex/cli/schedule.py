"""`bestex schedule`: the planned curve of an order before it is one, and planned against filled of one that is."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from bestex.cli.common import (
    COMMON,
    Common,
    Number,
    assignments,
    console,
    figure,
    known,
    print_json,
    venue_names,
)
from bestex.cli.orders import Settings, Side
from bestex.cli.plan import Files
from bestex.errors import BusError, UsageError

if TYPE_CHECKING:
    from bestex.cli.curves import Picture
    from bestex.config import Config
    from bestex.messages import ParentAccepted, ParentOrder, ParentRejected

LISTEN_S_MAX = 2.5  # the statistics come once a second
SPREAD_BPS, DEPTH = Decimal(2), Decimal(1)  # of a market that is only assumed
ASSUMED = ("mid", "spread_bps", "depth", "volume", "volatility_bps")

Assumptions = Annotated[list[str] | None, Parameter(name="--assume", negative="")]


async def schedule(
    symbol: str = "",
    side: Side | None = None,
    qty: Number | None = None,
    /,
    *,
    algo: str = "",
    limit: Number | None = None,
    duration: str = "",
    settings: Settings = None,
    venues: str = "",
    parent: str = "",
    recording: Files = None,
    at: str = "60s",
    assume: Assumptions = None,
    html: Path | None = None,
    common: Common = COMMON,
) -> int:
    """The planned curve of an order with its bounds, without trading; of an order that exists, planned and filled.

    bestex schedule BTC/USDT buy 10 --algo twap --duration 1h --set slices=12
    bestex schedule BTC/USDT buy 10 --assume mid=60000 --assume volume=12      without a bus
    bestex schedule BTC/USDT buy 10 --recording spot.rec --at 5m
    bestex schedule --parent k3j9d0a7c1e5g2h4 --html order.html

    Exit code: 0 there is a curve, 1 the order has none, 2 it would be rejected or is mistyped.

    Parameters
    ----------
    algo
        The execution algorithm, else the configuration's; `bestex algos` lists them with their parameters.
    limit
        The order's limit price.
    duration
        How long to work, such as 90s, 5m, 1h30m.
    settings
        A parameter of the algorithm, name=value; as often as needed.
    venues
        Only these venues, comma separated.
    parent
        The order of this id, instead of one that is described.
    recording
        Plan on the market of these recordings, without a bus.
    at
        How long after the first message of the recordings, such as 90s.
    assume
        Plan on a market that is assumed, without a bus: mid, and spread_bps, depth, volume (of base, a minute),
        volatility_bps (per square root of a second), each name=value.
    html
        Write one page with the plot to this file too.
    """
    from bestex.cli import curves

    if parent:
        if symbol or recording or assume:
            raise UsageError("--parent is an order that exists: leave out what describes another")
        return await _of_parent(parent, html, common)
    if side is None or qty is None:
        raise UsageError("name an order, such as BTC/USDT buy 1, or one that exists with --parent ID")
    if recording and assume:
        raise UsageError("a curve is planned on one market: name --recording or --assume")
    config = common.load()
    order = _order(config, symbol, side, qty, algo, limit, duration, settings, venues)
    if recording:
        answer = _on_recording(order, recording, at)
    elif assume:
        answer = _on_assumptions(order, config, assume)
    else:
        try:
            answer = await _on_bus(order, config, common)
        except BusError as error:
            raise BusError(f"{error}, or plan without it: --assume mid=PRICE, --recording FILE") from None
    return _show_answer(answer, order, html, common, curves)


def _order(
    config: Config,
    symbol: str,
    side: str,
    qty: Decimal,
    algo: str,
    limit: Decimal | None,
    duration: str,
    settings: list[str] | None,
    venues: str,
) -> ParentOrder:
    from bestex import messages as m
    from bestex import plugins
    from bestex.cli.catalogue import parameters

    algo = known("algorithm", algo or config.execution.default_algo, plugins.ALGOS)
    params = assignments(settings or ())
    if duration:
        params["duration"] = duration
    there = parameters(plugins.ALGOS, algo)
    for name in params:
        known(f"parameter of {algo}", name, there)
    return m.ParentOrder(
        symbol=symbol,
        side=m.Side(side),
        qty=qty,
        algo=algo,
        limit_price=limit,
        params=params,
        venues=venue_names(venues),
        parent_id="preview",
    )


# The scheduler and the backtester stand above this library: they are looked up, as algorithms and venues are.

Answer = Any  # ParentAccepted | ParentRejected, imported only to check types


def _preview(order: ParentOrder, config: Config, heard: list[Any], now_ns: int) -> Answer:
    return importlib.import_module("services.scheduler.preview").preview(order, config, heard, now_ns)


async def _on_bus(order: ParentOrder, config: Config, common: Common) -> Answer:
    """With what the market says now: each of its messages once, or what comes of them in LISTEN_S_MAX; and with the
    days before, as the recorder keeps them."""
    from bestex.bus_address import find_clock
    from bestex.cli.lines import decode
    from bestex.cli.volume import read_days

    subjects = importlib.import_module("services.scheduler.preview").hears(order.symbol, config)
    heard: dict[str, Any] = {}
    complete = asyncio.Event()

    async def take(message: Any) -> None:
        heard[message.subject] = decode(message.subject, message.data)
        if len(heard) == len(subjects):
            complete.set()

    async with common.client() as client:
        for subject in subjects:
            await client.connection.subscribe(subject, cb=take)
        days = await read_days(client.connection, order.symbol)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(complete.wait(), LISTEN_S_MAX)
    return _preview(order, config, [*days, *heard.values()], find_clock(config).now_ns())


def _on_recording(order: ParentOrder, paths: list[Path], at: str) -> Answer:
    from bestex.cli.recordings import existing
    from bestex.human import Duration

    try:
        after_ns = int(Duration.parse(at))
    except ValueError as error:
        raise UsageError(f"--at: {error}") from None
    moment = importlib.import_module("services.backtester.moment")
    with tempfile.TemporaryDirectory() as cache:
        return moment.schedule_at(order, existing(tuple(paths)), after_ns, Path(cache))


def _on_assumptions(order: ParentOrder, config: Config, assume: list[str]) -> Answer:
    now_ns = time.time_ns()
    given: dict[str, Decimal] = {}
    for name, value in assignments(assume, "--assume").items():
        known("assumption", name, ASSUMED)
        try:
            given[name] = Decimal(str(value))
        except ArithmeticError:
            raise UsageError(f"--assume {name}={value}: {value} is no number") from None
        if not given[name].is_finite() or given[name] < 0:
            raise UsageError(f"--assume {name}={value}: write a number, not below zero")
    return _preview(order, config, assumed(order.symbol, config, given, now_ns), now_ns)


def assumed(symbol: str, config: Config, given: dict[str, Decimal], now_ns: int) -> list[Any]:
    """The statistics, and where there is a mid the book, of a market of which so much is known."""
    from bestex import messages as m
    from bestex.clock import Time

    instrument = config.make_instruments().get(symbol)
    if instrument is None:
        known("symbol", symbol, config.instruments)
        return []
    depth, mid = given.get("depth", DEPTH), given.get("mid")
    volatility = given.get("volatility_bps")
    stats = m.Stats(
        symbol=instrument.symbol,
        at=Time(now_ns),
        mid=mid,
        bid_depth=depth,
        ask_depth=depth,
        volume=given.get("volume", Decimal(0)),
        volatility_bps=None if volatility is None else float(volatility),
        counting_since=Time(now_ns),
    )
    if not mid:
        return [stats]
    half = max(mid * given.get("spread_bps", SPREAD_BPS) / 20_000, instrument.price(1))
    units = 10**instrument.price_scale
    column = m.VenueColumn(
        instrument.listings[0].venue,
        m.BookStatus.LIVE,
        0,
        now_ns,
        now_ns,
        [int((mid - half) * units)],
        [max(int(depth * 10**instrument.qty_scale), 1)],
        [int((mid + half) * units)],
        [max(int(depth * 10**instrument.qty_scale), 1)],
    )
    scales = instrument.price_scale, instrument.qty_scale
    return [stats, m.ConsolidatedBook(instrument.symbol, 1, now_ns, *scales, False, False, [column])]


def _show_answer(
    answer: ParentAccepted | ParentRejected,
    order: ParentOrder,
    html: Path | None,
    common: Common,
    curves: Any,
) -> int:
    from bestex import messages as m

    if common.json:
        print_json(answer)
    if isinstance(answer, m.ParentRejected):
        if not common.json:
            print(f"it would be rejected: {answer.text} ({answer.code})")
        return 2
    works_as = f", worked as {answer.works_as}" if answer.works_as else ""
    arrival = f"the mid is {figure(answer.arrival_px)}" if answer.arrival_px else "no book was heard: no mid"
    picture = curves.Picture(
        f"{order.side} {order.qty:f} {answer.symbol} by {order.algo}{works_as}",
        (arrival, *([answer.reason] if answer.reason else [])),
        (curves.plan_of(answer.schedule),),
    )
    _draw(picture, html, common)
    return 0


async def _of_parent(parent_id: str, html: Path | None, common: Common) -> int:
    from bestex.cli import curves
    from bestex.messages import Fill, ParentRejected

    async with common.client() as client:
        status = await client.status(parent_id)
        told = await client.history(parent_id)
    history = [event for event in told if not isinstance(event, Fill | ParentRejected)]
    slippage = status.arrival_slippage_bps
    against = "" if slippage is None else f", {slippage:+.2f} bps against arrival"
    picture = curves.of_history(
        f"{parent_id}: {status.side} {status.qty:f} {status.symbol} by {status.algo}",
        history,
        (
            f"{status.reason or status.state}: {status.cum_qty:f} filled at {figure(status.avg_px) or '-'}{against}",
        ),
    )
    if common.json:
        plans = [] if picture is None else [[point._asdict() for point in plan] for plan in picture.plans]
        filled = [] if picture is None else [step._asdict() for step in picture.filled]
        print_json({"parent_id": parent_id, "plans": plans, "filled": filled})
    if picture is None:
        if not common.json:
            print(f"{parent_id} has no planned curve")
        return 1
    _draw(picture, html, common)
    return 0


def _draw(picture: Picture, html: Path | None, common: Common) -> None:
    from bestex.cli import curves

    if html is not None:
        html.write_text(curves.page(picture), encoding="utf-8")
    if common.json:
        return
    out = console()
    out.print(picture.title, soft_wrap=True)
    for note in picture.notes:
        out.print(note, soft_wrap=True)
    print(curves.plot(picture, out.width))
    out.print(curves.rows(picture))
