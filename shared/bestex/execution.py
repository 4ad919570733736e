"""One order from a program: handed in, waited for, summed up.

    from bestex import execute_twap

    execution = await execute_twap("BTC/USDT", "buy", "1", duration="30m", interval="1m")
    print(execution.summary().avg_fill_price)

There is such a function for every algorithm of the registry. `client=` takes whatever works orders: a connected
`Client`, or a backtest (`services.backtester.session.VirtualSession`); without one it connects for this order alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from bestex import codec, entry, ids, parameters, plugins, subjects
from bestex import messages as m
from bestex.clock import SECOND, Time
from bestex.errors import OrderRejected, UsageError
from bestex.interval import Interval
from bestex.parent import Event
from bestex.status import ParentStatus, State, cost_bps, fold

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from bestex.client import Algorithm, Client


class Works(Protocol):
    """Whoever works an order to its end."""

    async def execute(self, order: m.ParentOrder) -> Execution: ...


class FillLine(msgspec.Struct, frozen=True, kw_only=True):
    timestamp: Time
    quantity: Decimal
    fill_price: Decimal
    fee: Decimal
    fee_currency: str
    venue: str
    liquidity: str


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What an order came to. Prices in quote, quantities in base; positive basis points are cost, on both sides, and
    None where nothing was filled or the benchmark is not known. `interval_vwap` is of all public trades that were
    heard from `started_at` to `ended_at`, `interval_twap` of the consolidated mid over the same time."""

    parent_id: str
    symbol: str
    side: m.Side
    algo: str
    reason: str
    text: str
    order_quantity: Decimal
    total_quantity: Decimal
    fill_rate: float
    avg_fill_price: Decimal | None
    total_commission: Decimal
    num_slices: int
    num_fills: int
    started_at: Time
    ended_at: Time
    duration_s: float
    arrival_price: Decimal | None
    slippage_bps: float | None
    interval_vwap: float | None
    vwap_slippage_bps: float | None
    interval_twap: float | None
    twap_slippage_bps: float | None
    benchmark_price: Decimal | None
    benchmark_slippage_bps: float | None
    fills: list[FillLine]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as they travel in JSON."""
        found: dict[str, Any] = codec.to_builtins(self)
        return found


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """An order that has ended: where it stands, its fills in order, and what the market did meanwhile."""

    status: ParentStatus
    fills: list[m.Fill]
    started_at: Time
    ended_at: Time
    interval_vwap: float | None = None
    interval_twap: float | None = None

    @property
    def parent_id(self) -> str:
        return self.status.parent_id

    @property
    def is_filled(self) -> bool:
        return self.status.leaves_qty == 0 and self.status.cum_qty > 0

    def summary(self, benchmark_price: Decimal | str | int | None = None) -> Summary:
        """`benchmark_price`: one of your own, in quote, to compare with besides those that are known."""
        status = self.status
        own = None if benchmark_price is None else entry.decimal("benchmark_price", benchmark_price)
        assert status.side is not None, "an order that was accepted has a side"
        side, average = status.side, status.avg_px
        return Summary(
            parent_id=status.parent_id,
            symbol=status.symbol,
            side=side,
            algo=status.algo,
            reason=status.reason,
            text=status.text,
            order_quantity=status.qty,
            total_quantity=status.cum_qty,
            fill_rate=status.fill_rate,
            avg_fill_price=average,
            total_commission=status.fees or Decimal(0),
            num_slices=status.slices,
            num_fills=len(self.fills),
            started_at=self.started_at,
            ended_at=self.ended_at,
            duration_s=(self.ended_at - self.started_at) / SECOND,
            arrival_price=status.arrival_px,
            slippage_bps=status.arrival_slippage_bps,
            interval_vwap=self.interval_vwap,
            vwap_slippage_bps=cost_bps(side, average, self.interval_vwap),
            interval_twap=self.interval_twap,
            twap_slippage_bps=cost_bps(side, average, self.interval_twap),
            benchmark_price=own,
            benchmark_slippage_bps=cost_bps(side, average, own),
            fills=[
                FillLine(
                    timestamp=fill.at,
                    quantity=fill.qty,
                    fill_price=fill.price,
                    fee=fill.fee,
                    fee_currency=fill.fee_currency,
                    venue=fill.venue,
                    liquidity=fill.liquidity,
                )
                for fill in self.fills
            ],
        )


def execution_of(events: Iterable[Event], interval: Interval | None = None) -> Execution:
    """From an order's events and fills, in order. OrderRejected where it was refused; UsageError where it has not
    ended."""
    status, fills, started_at = ParentStatus(parent_id="", symbol=""), list[m.Fill](), Time(0)
    for event in events:
        if isinstance(event, m.Fill):
            fills.append(event)
            continue
        if not status.parent_id:
            status = ParentStatus(parent_id=event.parent_id, symbol=event.symbol)
        status = fold(status, event)
        if isinstance(event, m.ParentRejected) and status.state is State.REJECTED:
            raise OrderRejected(event.code, event.text, event.parent_id)
        if isinstance(event, m.ParentAccepted):
            started_at = event.start_at
        elif isinstance(event, m.ParentStarted):
            started_at = event.at
    if status.state is not State.DONE or status.at is None:
        raise UsageError(f"{status.parent_id or 'the order'} has not ended")
    ended_at, known = status.at, interval or Interval()
    started_at = min(started_at, ended_at)  # one that was cancelled before its start
    return Execution(
        status=status,
        fills=fills,
        started_at=started_at,
        ended_at=ended_at,
        interval_vwap=known.vwap(started_at, ended_at),
        interval_twap=known.twap(started_at, ended_at),
    )


async def work(client: Client, order: m.ParentOrder) -> Execution:
    """Hand in and follow to the end, listening to the market meanwhile. If this is cancelled the order goes on; the
    same order under the same id finds it again, without the market's averages, of which a part was not heard."""
    interval = Interval()
    known = await _is_known(client, order.parent_id)
    async with AsyncExitStack() as listening:
        for subject in _market_of(client, order):
            subscription = await client.connection.subscribe(subject, cb=_into(interval))
            listening.push_async_callback(subscription.unsubscribe)
        parent = await client.submit(order)
        events = [event async for event in parent]
    return execution_of(events, None if known else interval)


async def _is_known(client: Client, parent_id: str) -> bool:
    """Whether there is an order of this id already."""
    if not parent_id:
        return False
    try:
        return (await client.status(parent_id)).state not in (State.SUBMITTED, State.REJECTED)
    except UsageError:
        return False


def _market_of(client: Client, order: m.ParentOrder) -> list[str]:
    """Trades are published under the venue's own symbol. A listing in another unit, whose price says nothing here
    (a contract worth so much of quote), is left out."""
    instrument = client.instruments.get(order.symbol)
    root = subjects.ROOT
    if instrument is None:  # the platform's configuration is another than this program's
        return [f"{root}.stats.{ids.token(order.symbol)}", f"{root}.md.trade.*.{ids.token(order.symbol)}"]
    trades = [
        f"{root}.md.trade.{listing.venue}.{ids.token(listing.symbol)}"
        for listing in instrument.listings
        if not listing.inverse and (order.venues is None or listing.venue in order.venues)
    ]
    return [f"{root}.stats.{instrument.token}", *trades]


def _into(interval: Interval) -> Callable[[Msg], Coroutine[Any, Any, None]]:
    async def take(message: Msg) -> None:
        if message.subject.startswith(f"{subjects.ROOT}.stats."):
            interval.stats(codec.from_json(message.data, m.Stats))
        else:
            interval.trade(codec.from_msgpack(message.data, m.MarketTrade))

    return take


# -- the functions -----------------------------------------------------------------------------------------------


async def execute(
    symbol: str,
    side: m.Side | str,
    qty: Decimal | str | int,
    *,
    algo: str | Algorithm = "",
    limit_price: Decimal | str | None = None,
    strategy: str = "",
    strategy_params: Mapping[str, Any] | None = None,
    venues: Sequence[str] | None = None,
    account: str = "default",
    trigger: m.Trigger | Mapping[str, Any] | None = None,
    otherwise: m.Alternative | Mapping[str, Any] | None = None,
    note: str = "",
    parent_id: str = "",
    client: Works | None = None,
    **params: Any,
) -> Execution:
    """Work an order to its end, and say what came of it.

    `algo` is a name, or an algorithm with its parameters such as `TWAP(duration="5m")`; left out, the configured one.
    `params` are the algorithm's. Without a `client` one connects for this order. Raises OrderRejected with a code and
    a sentence where the order is refused. An order that ends with a rest is no error: see `status.reason`.
    """
    order = entry.order(
        symbol,
        side,
        qty,
        algo,
        limit_price=limit_price,
        params=params,
        strategy=strategy,
        strategy_params=strategy_params,
        venues=venues,
        account=account,
        trigger=trigger,
        otherwise=otherwise,
        note=note,
        parent_id=parent_id,
    )
    if client is not None:
        return await client.execute(order)
    from bestex.client import Client

    async with Client(name="bestex-execute") as alone:
        return await alone.execute(order)


OF_ORDER = tuple(name for name in inspect.signature(execute).parameters if name not in ("algo", "params"))


def executor(algo: str) -> Callable[..., Coroutine[Any, Any, Execution]]:
    """`execute_<algo>`: with the algorithm's parameters in its signature, and their sentences in its docstring."""
    known = [one for one in parameters.of(plugins.ALGOS, algo) if one.name not in OF_ORDER]
    signature = inspect.signature(execute)
    of_order = [signature.parameters[name] for name in OF_ORDER]
    own = [
        inspect.Parameter(
            one.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if one.required else one.written,
            annotation=parameters.annotation(one),
        )
        for one in known
    ]
    shown = signature.replace(parameters=[*of_order[:3], *own, *of_order[3:]])

    async def run(*args: Any, **kwargs: Any) -> Execution:
        try:
            shown.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"execute_{algo}() {error}") from None
        return await execute(*args, algo=algo, **kwargs)

    run.__name__ = run.__qualname__ = f"execute_{algo}"
    run.__module__ = "bestex"
    run.__signature__ = shown  # type: ignore[attr-defined]
    run.__doc__ = _doc(algo, known)
    return run


def _doc(algo: str, known: list[parameters.Parameter]) -> str:
    lines = [parameters.sentence(plugins.ALGOS, algo), ""]
    lines += ["Works the order to its end and returns an `Execution`; OrderRejected where it is refused.", ""]
    lines += [f"{one.name}: {one.text}" + (f" {one.range}." if one.range else "") for one in known]
    lines += ["", "limit_price, strategy, venues and the rest are the order's own: see `bestex.execute`."]
    return "\n".join(lines)
