"""`plan`: the route that the router would take now, with its costs. Nothing is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

import msgspec

from bestex import codec
from bestex import messages as m
from bestex.config import Config
from bestex.contained import PluginFailed, asked
from bestex.errors import Code
from bestex.impact import ImpactSettings, expected_impact
from bestex.instruments import Instrument, Instruments
from bestex.ladder import Ladder
from bestex.units import UnitError, total
from services.router.routing import Ask, make_strategy, route_of
from services.router.strategies.base import Allocation, Route, Strategy

BPS = 10_000


@dataclass(frozen=True, slots=True)
class Market:
    """What a plan is made on."""

    instruments: Instruments
    config: Config
    strategies: Mapping[str, type[Strategy]]
    books: Mapping[str, m.ConsolidatedBook]
    stats: Mapping[str, m.Stats] = field(default_factory=dict)


def answer(data: bytes, now_ns: int, *, market: Market) -> bytes:
    """A `Plan` as JSON; its `error` and `text` say what was wrong with the request or the market."""
    try:
        request = codec.from_json(data, m.PlanRequest)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return codec.to_json({"error": Code.MALFORMED, "text": str(error)})
    return codec.to_json(make_plan(request, now_ns, market))


def make_plan(request: m.PlanRequest, now_ns: int, market: Market) -> m.Plan:
    """The impact's volume and volatility are the configured ones (`[impact]`): the last minute of `stats` is no day.
    Where none are configured, the displayed book is all that speaks of impact."""

    def refused(code: Code, text: str) -> m.Plan:
        return m.Plan(symbol=request.symbol, side=request.side, qty=request.qty, error=code, text=text)

    config, strategies = market.config, market.strategies
    instrument = market.instruments.get(request.symbol)
    if instrument is None:
        known = ", ".join(market.instruments.by_symbol)
        return refused(Code.UNKNOWN_SYMBOL, f"there is no symbol {request.symbol}; there are {known}")
    for venue in request.venues or ():
        if instrument.listing(venue) is None:
            listed = ", ".join(listing.venue for listing in instrument.listings)
            text = f"{venue} does not trade {instrument.symbol}; {listed} do"
            return refused(Code.UNKNOWN_VENUE, text)
    name = request.strategy or config.execution.default_strategy
    if name not in strategies:
        return refused(
            Code.UNKNOWN_STRATEGY, f"there is no strategy {name}; there are {', '.join(strategies)}"
        )
    try:
        strategy = make_strategy(strategies, config, name, request.strategy_params)
        qty = instrument.qty_units(request.qty)
        limit = None if request.limit_price is None else instrument.price_units(request.limit_price)
    except (UnitError, msgspec.ValidationError, ValueError) as error:
        return refused(Code.INVALID_PARAMETER, str(error))
    if qty <= 0:
        return refused(Code.INVALID_QTY, f"qty {request.qty} must be above zero")
    book = market.books.get(instrument.symbol)
    ask = Ask(
        instrument=instrument,
        config=config,
        book=book,
        side=request.side,
        qty=qty,
        limit=limit,
        now_ns=now_ns,
        venues=request.venues,
        until_ns=now_ns + int(config.execution.slice_ttl),
        stats=market.stats.get(instrument.symbol),
    )
    try:
        route = route_of(strategy, ask)
    except PluginFailed as failed:
        return refused(Code.STRATEGY_FAILED, failed.text)
    costs = _Costs.of(route, instrument, request.side)
    others, failures = _others(market, ask, name) if request.compare else ([], [])
    impact = None
    if book is not None:
        settings = config.impact.get(instrument.symbol, ImpactSettings())
        parts = {allocation.venue: allocation.qty for allocation in route.allocations}
        impact = expected_impact(settings, Ladder(book), request.side, parts, instrument.qty_scale)
    return m.Plan(
        symbol=instrument.symbol,
        side=request.side,
        qty=request.qty,
        strategy=name,
        routed_qty=costs.qty,
        total_cost=costs.total,
        avg_price=costs.average,
        expected_slippage_bps=_slippage_bps(costs, instrument, request.side, book),
        fees=costs.fees,
        legs=costs.legs,
        left_out=[m.LeftOut(venue, reason) for venue, reason in route.left_out.items()],
        gap_bps=route.gap_bps,
        why=route.why,
        others=others,
        error=Code.NO_LIQUIDITY if not route.qty else None,
        text="; ".join(filter(None, (route.text, *failures))),
        expected_impact_bps=None if impact is None else impact.bps,
        impact_model="" if impact is None else impact.model,
    )


@dataclass(frozen=True, slots=True)
class _Costs:
    """In quote. `total` is what a buy pays, or a sell receives."""

    legs: list[m.PlanLeg]
    qty: Decimal
    fees: Decimal
    total: Decimal
    average: Decimal | None

    @classmethod
    def of(cls, route: Route, instrument: Instrument, side: m.Side) -> _Costs:
        legs = [_leg(allocation, instrument) for allocation in route.allocations]
        notional = instrument.cash(sum(allocation.notional for allocation in route.allocations))
        fees, qty = total(*(leg.fee for leg in legs)), instrument.qty(route.qty)
        digits = Decimal(1).scaleb(-instrument.price_scale - 6)
        return cls(
            legs=legs,
            qty=qty,
            fees=fees,
            total=total(notional, fees if side is m.Side.BUY else -fees),
            average=(notional / qty).quantize(digits) if qty else None,
        )


def _leg(allocation: Allocation, instrument: Instrument) -> m.PlanLeg:
    listing = instrument.listing(allocation.venue)
    assert listing is not None, "a route names only venues that list the instrument"
    rate_e8 = listing.maker_fee_e8 if allocation.rests else listing.taker_fee_e8
    return m.PlanLeg(
        venue=allocation.venue,
        qty=instrument.qty(allocation.qty),
        price=instrument.price(allocation.price),
        fee=total(instrument.fee_cash(allocation.notional * rate_e8), instrument.cash(listing.ticket_fee)),
        posted=allocation.rests,
        reason=allocation.reason,
    )


def _slippage_bps(
    costs: _Costs, instrument: Instrument, side: m.Side, book: m.ConsolidatedBook | None
) -> float | None:
    """The average price against the mid, fees aside; positive is a cost."""
    mid = None if book is None else Ladder(book).mid
    if costs.average is None or not mid:
        return None
    average = float(costs.average) * 10.0**instrument.price_scale
    return side.sign * (average / mid - 1) * BPS


def _others(market: Market, ask: Ask, chosen: str) -> tuple[list[m.PlanOther], list[str]]:
    """What every other strategy would do, with its defaults; and how those have failed that did."""
    found, failures = [], []
    for name in market.strategies:
        if name == chosen:
            continue
        kind = market.strategies[name]
        try:
            route = route_of(asked(kind, make_strategy, market.strategies, market.config, name, {}), ask)
        except PluginFailed as failed:
            failures.append(failed.text)
            continue
        costs = _Costs.of(route, ask.instrument, ask.side)
        posted = sum(allocation.qty for allocation in route.allocations if allocation.rests)
        found.append(
            m.PlanOther(
                strategy=name,
                routed_qty=costs.qty,
                total_cost=costs.total,
                avg_price=costs.average,
                fees=costs.fees,
                posted_qty=ask.instrument.qty(posted),
            )
        )
    return found, failures
