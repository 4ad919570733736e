"""`plan`: the route that the router would take now, with its costs. Nothing is sent."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from bestex import codec
from bestex import messages as m
from bestex.config import Config
from bestex.errors import Code
from bestex.impact import ImpactSettings, expected_impact
from bestex.instruments import Instruments
from bestex.ladder import Ladder
from bestex.units import UnitError, total
from services.router.routing import find_route, make_strategy
from services.router.strategies.base import Strategy

BPS = 10_000


def answer(
    data: bytes,
    now_ns: int,
    *,
    instruments: Instruments,
    config: Config,
    strategies: Mapping[str, type[Strategy]],
    books: Mapping[str, m.ConsolidatedBook],
) -> bytes:
    """A `Plan` as JSON; its `error` and `text` say what was wrong with the request or the market."""
    try:
        request = codec.from_json(data, m.PlanRequest)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return codec.to_json({"error": Code.MALFORMED, "text": str(error)})
    return codec.to_json(
        make_plan(request, now_ns, instruments=instruments, config=config, strategies=strategies, books=books)
    )


def make_plan(
    request: m.PlanRequest,
    now_ns: int,
    *,
    instruments: Instruments,
    config: Config,
    strategies: Mapping[str, type[Strategy]],
    books: Mapping[str, m.ConsolidatedBook],
) -> m.Plan:
    """Total cost is what a buy pays, or a sell receives, fees included.

    The impact's volume and volatility are the configured ones (`[impact]`): `stats` is not heard here, and its
    last minute is no day. Where none are configured, the displayed book is all that speaks of impact.
    """

    def refused(code: Code, text: str) -> m.Plan:
        return m.Plan(symbol=request.symbol, side=request.side, qty=request.qty, error=code, text=text)

    instrument = instruments.get(request.symbol)
    if instrument is None:
        known = ", ".join(instruments.by_symbol)
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
    book = books.get(instrument.symbol)
    route = find_route(
        instrument, config, strategy, book, request.side, qty, limit, now_ns, venues=request.venues
    )
    legs = []
    for allocation in route.allocations:
        listing = instrument.listing(allocation.venue)
        assert listing is not None, "a route names only venues that list the instrument"
        legs.append(
            m.PlanLeg(
                venue=allocation.venue,
                qty=instrument.qty(allocation.qty),
                price=instrument.price(allocation.price),
                fee=instrument.fee_cash(allocation.notional * listing.taker_fee_e8),
            )
        )
    notional = instrument.cash(sum(allocation.notional for allocation in route.allocations))
    fees = total(*(leg.fee for leg in legs))
    average = notional / instrument.qty(route.qty) if route.qty else None
    mid = None if book is None else Ladder(book).mid
    slippage = None
    if average is not None and mid:
        slippage = request.side.sign * (float(average) * 10**instrument.price_scale / mid - 1) * BPS
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
        routed_qty=instrument.qty(route.qty),
        total_cost=total(notional, fees) if request.side is m.Side.BUY else total(notional, -fees),
        avg_price=None
        if average is None
        else average.quantize(Decimal(1).scaleb(-instrument.price_scale - 6)),
        expected_slippage_bps=slippage,
        fees=fees,
        legs=legs,
        left_out=[m.LeftOut(venue, reason) for venue, reason in route.left_out.items()],
        error=Code.NO_LIQUIDITY if not route.qty else None,
        text=route.text,
        expected_impact_bps=None if impact is None else impact.bps,
        impact_model="" if impact is None else impact.model,
    )
