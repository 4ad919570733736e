"""Any exchange of ccxt as a venue: a websocket for orders where it has one, REST for all else, and the exchange's
user streams for speed.

ccxt is told to retry nothing and to limit nothing. A failed request is judged in `outcomes`, numbers are checked in
`terms`, and everything that differs by exchange is its quirk's. The streams lose what happens while they are down,
so each connection says UP, which makes the core pull, and each loss DOWN.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import ccxt
import structlog

from bestex import ccxt_client
from bestex.budget import Kind
from bestex.clock import MS, AffineClock
from bestex.config import Config
from bestex.errors import Code, ConfigError
from bestex.instruments import FEE_ONE, Listing
from bestex.units import UnitError
from services.gateway import port as p
from services.gateway.venues.ccxt import outcomes, said
from services.gateway.venues.ccxt.entry import Entry
from services.gateway.venues.ccxt.limits import Limits
from services.gateway.venues.ccxt.lists import Lists
from services.gateway.venues.ccxt.quirks import quirk_of
from services.gateway.venues.ccxt.quirks.base import LimitTerms
from services.gateway.venues.ccxt.session import Session
from services.gateway.venues.ccxt.terms import Market, as_float, check_sent, decimal, stated

QUERIES_AT_ONCE = 8


class CcxtVenue:
    def __init__(self, name: str, config: Config, clock: AffineClock) -> None:
        """ConfigError where its keys cannot be used, or nobody has said that it is live."""
        self._name, self._config = name, config
        exchange, market_type = ccxt_client.exchange_of(name)
        self._quirk = quirk_of(exchange, market_type)
        self.capabilities = self._quirk.capabilities
        self._keys = ccxt_client.keys_of(name, config)
        if config.venues[name].mode != "live" or self._keys is None:
            raise ConfigError(f'venues.{name}: orders are sent only with mode = "live" and a file of keys')
        self._timeout_ns = int(config.execution.timeout)
        self._timeout_s = clock.wall_seconds(self._timeout_ns)
        self._markets = {
            instrument.symbol: Market(instrument, listing)
            for instrument in config.make_instruments().all
            if (listing := instrument.listing(name)) is not None
        }
        self._by_venue = {market.symbol: market for market in self._markets.values()}
        self._names = said.Names()
        self._log: structlog.stdlib.BoundLogger = structlog.get_logger(venue=name)
        self._limits = Limits(name, exchange, config, self._keys, self._quirk)
        self._session = Session(
            name, config, self._timeout_s, self._keys, self._quirk, self._limits, list(self._by_venue)
        )
        self._entry = Entry(self._quirk, self._session.line)
        self._lists = Lists(name, self._quirk, self._names, self._by_venue, self._safe)

    @staticmethod
    def stated(name: str, config: Config) -> p.Capabilities:  # noqa: ARG004 - its name says it all
        """What the venue of that name can do. ConfigError where it is none of ccxt's."""
        return quirk_of(*ccxt_client.exchange_of(name)).capabilities

    @property
    def clock_ahead_ms(self) -> float | None:
        """By how much the venue's clock was ahead of ours when it was asked; None where it was not."""
        return self._session.clock.ahead_ms

    # -- session -------------------------------------------------------------------------------------------------

    async def connect(self, say: p.Say, now_ns: Callable[[], int]) -> None:
        self._say, self._now_ns = say, now_ns
        self._limits.start(now_ns)
        self._session.start(say, self._heard)

    async def disconnect(self) -> None:
        await self._session.stop()

    @property
    def _exchange(self) -> Any:
        """None before there were markets and a clock: nothing is sent without."""
        return self._session.exchange

    def _heard(self, one: Any) -> None:
        market = self._by_venue.get(one["symbol"])
        if market is None:
            return
        self._lists.busy(market.symbol)
        try:
            if "takerOrMaker" in one:  # a trade
                child_id = self._names.child(str(one.get("order") or "")) or self._quirk.own_id(one)
                if child_id:  # one that is not known yet is pulled with its order's id
                    self._say(said.fill(one, child_id, market))
                return
            child_id = self._quirk.own_id(one)
            self._names.learn(str(one.get("id") or ""), child_id)
            if child_id:
                self._say(said.order(one, child_id, market, self._quirk.why(one)))
        except UnitError as error:
            self._log.error("a number of the user stream is not in units", error=str(error))

    def _safe(self, error: BaseException) -> str:
        return self._session.safe(error)

    # -- orders --------------------------------------------------------------------------------------------------

    async def admit(self, request: p.Submit | p.Replace) -> Sequence[p.Said]:
        await self._session.clock.sure()
        what = "new" if isinstance(request, p.Submit) else "amend"
        why = await self._limits.take(Kind.NEW, what, request.deadline_ns)
        if not why:
            return []
        kind = p.VenueNotSent if isinstance(request, p.Submit) else p.VenueReplaceRejected
        return [kind(child_id=request.child_id, code=Code.RATE_LIMITED, text=why)]

    def _heed(self, exchange: Any, error: Exception, what: str) -> str:
        """What any refusal teaches about limits and clocks, and its text."""
        self._limits.heed(exchange, error, what)
        if self._quirk.is_off_time(error):
            self._session.clock.doubt(exchange)
        return self._safe(error)

    async def submit(self, order: p.Submit) -> Sequence[p.Said]:
        child_id, exchange = order.child_id, self._exchange
        market = self._markets[order.symbol]
        self._lists.busy(market.symbol)
        if exchange is None:
            return [p.VenueNotSent(child_id=child_id, code=Code.VENUE_DOWN, text="there is no session")]
        try:
            terms = self._terms(exchange, market, order)
        except UnitError as error:
            return [p.VenueNotSent(child_id=child_id, code=Code.OFF_LOT, text=str(error))]
        try:
            with self._limits.paid():
                answer = await self._entry.create(exchange, order, terms)
        except Exception as error:  # noqa: BLE001 - judged by what it proves
            return [self._failed(child_id, error, self._heed(exchange, error, "new"))]
        if not answer.get("id"):  # ccxt makes an order of nothing out of an answer that it cannot read
            text = "the answer names no order"
            return [p.VenueUnknown(child_id=child_id, code=Code.MALFORMED, text=text)]
        self._names.learn(str(answer["id"]), child_id)
        if self._quirk.acknowledges or not answer.get("status"):
            return [p.VenueAccepted(child_id=child_id, venue_order_id=str(answer["id"]))]
        try:
            trades = self._quirk.answered_trades(answer)
            fills = [said.fill(trade, child_id, market) for trade in trades]
            return [*fills, said.order(answer, child_id, market, self._quirk.why(answer))]
        except UnitError as error:
            return [p.VenueUnknown(child_id=child_id, code=Code.MALFORMED, text=str(error))]

    def _terms(self, exchange: Any, market: Market, order: p.Submit | p.Replace) -> LimitTerms:
        """Raises UnitError where ccxt would send another size or price than is meant."""
        if market.listing.inverse:
            raise UnitError(f"{market.symbol} is inverse: its size depends on the price")
        amount, limit = market.amount(order.qty), market.instrument.price(order.price)
        try:
            check_sent("amount", amount, exchange.amount_to_precision(market.symbol, as_float(amount)))
            check_sent("price", limit, exchange.price_to_precision(market.symbol, as_float(limit)))
        except ccxt.InvalidOrder as error:  # less than one step
            raise UnitError(str(error)) from error
        left_ms = max((order.deadline_ns - self._now_ns()) // MS, 1)
        return LimitTerms(market.symbol, as_float(amount), as_float(limit), left_ms)

    def _failed(self, child_id: str, error: Exception, text: str) -> p.Said:
        if outcomes.never_left(error):
            return p.VenueNotSent(child_id=child_id, code=Code.VENUE_DOWN, text=text)
        if self._quirk.is_duplicate(error):
            return p.VenueRejected(child_id=child_id, code=Code.DUPLICATE_ORDER, text=text)
        code = self._quirk.refused(error)
        if code is not None:
            return p.VenueRejected(child_id=child_id, code=code, text=text)
        return p.VenueUnknown(child_id=child_id, code=Code.TIMEOUT, text=text)

    async def cancel(self, order: p.Cancel) -> Sequence[p.Said]:
        """A cancel is only acknowledged here; that the order has ended is what its record says, which is asked. One
        that was not taken for the venue's limits or clock says nothing of the order: it is asked again."""
        child_id, exchange = order.child_id, self._exchange
        market = self._markets[order.symbol]
        if exchange is None:
            return [_unanswered(child_id, "there is no session")]
        if why := await self._limits.take(Kind.CANCEL, "cancel", self._now_ns() + self._timeout_ns):
            return [_unanswered(child_id, why, Code.RATE_LIMITED)]
        try:
            with self._limits.paid():
                await self._entry.cancel(exchange, order, market.symbol)
        except Exception as error:  # noqa: BLE001 - judged by what it proves
            text, refused = self._heed(exchange, error, "cancel"), self._quirk.refused(error)
            if self._quirk.is_too_late(error):
                return [p.VenueCancelRejected(child_id=child_id, code=Code.TOO_LATE, text=text)]
            if refused is None or refused in outcomes.PASSING:
                return [_unanswered(child_id, text, refused or Code.TIMEOUT)]
            return [p.VenueCancelRejected(child_id=child_id, code=refused, text=text)]
        found = await self._look(exchange, market, child_id, order.venue_order_id)
        return [found] if isinstance(found, p.VenueClosed) else []

    async def modify(self, order: p.Replace) -> Sequence[p.Said]:
        child_id, exchange = order.child_id, self._exchange
        market = self._markets[order.symbol]
        if exchange is None:
            text = "there is no session"
            return [p.VenueReplaceRejected(child_id=child_id, code=Code.VENUE_DOWN, text=text)]
        try:
            terms = self._terms(exchange, market, order)
        except UnitError as error:
            return [p.VenueReplaceRejected(child_id=child_id, code=Code.OFF_LOT, text=str(error))]
        try:
            with self._limits.paid():
                answer = await self._entry.amend(exchange, order, terms)
        except Exception as error:  # noqa: BLE001 - judged by what it proves
            code, text = self._not_amended(error), self._heed(exchange, error, "amend")
            if code is not None:
                return [p.VenueReplaceRejected(child_id=child_id, code=code, text=text)]
            return [_unanswered(child_id, text)]
        if answer.get("id") is None:  # nor does such an answer say that anything was changed
            return [_unanswered(child_id, "the answer names no order", Code.MALFORMED)]
        venue_order_id = str(answer["id"])
        self._names.learn(venue_order_id, child_id)
        if self._quirk.acknowledges:
            return []  # the record will say that it has the new terms
        return [
            p.VenueReplaced(
                child_id=child_id, venue_order_id=venue_order_id, qty=order.qty, price=order.price
            )
        ]

    def _not_amended(self, error: Exception) -> Code | None:
        """Why the order stands as it was, for certain; None where that is not certain."""
        if outcomes.never_left(error):
            return Code.VENUE_DOWN
        return Code.TOO_LATE if self._quirk.is_too_late(error) else self._quirk.refused(error)

    async def firm(self, order: p.Firm) -> Sequence[p.Said]:  # noqa: ARG002 - no exchange has conditional orders
        return []

    async def arm(self, timeout_ns: int) -> bool:
        if self._exchange is None:
            return False
        try:
            await self._quirk.arm(self._exchange, timeout_ns // MS, list(self._by_venue))
        except Exception as error:  # noqa: BLE001 - it is not set, and that is said
            self._log.warning("the dead-man switch was not set", error=self._safe(error))
            return False
        return True

    # -- queries -------------------------------------------------------------------------------------------------

    async def _look(self, exchange: Any, market: Market, child_id: str, venue_order_id: str) -> Any:
        """What the venue's record of one order says; None where it says that there is none, an Unanswered where it
        does not say."""
        if not self.capabilities.client_id_length and not venue_order_id:
            return _unanswered(child_id, "the venue finds no order without its own id; look there by hand")
        try:
            found = await self._quirk.order(exchange, market.symbol, child_id, venue_order_id)
            if found is None:
                return None
            self._names.learn(str(found.get("id") or ""), child_id)
            return said.order(found, child_id, market, self._quirk.why(found))
        except Exception as error:  # noqa: BLE001 - whatever it was, it is no answer
            return _unanswered(child_id, self._safe(error))

    async def query_order(self, query: p.QueryOrder) -> Sequence[p.Said]:
        child_id, exchange, asked_ns = query.child_id, self._exchange, self._now_ns()
        market = self._markets[query.symbol]
        self._lists.busy(market.symbol)
        if exchange is None:
            return [_unanswered(child_id, "there is no session")]
        absent = p.VenueAbsent(child_id=child_id, endpoint=query.endpoint, asked_ns=asked_ns)
        if query.endpoint is p.Endpoint.ORDER:
            found = await self._look(exchange, market, child_id, query.venue_order_id)
            return [absent if found is None else found]
        # The open orders first: what fills in between is then among the trades.
        opened = await self._lists.opened(exchange, [market.symbol])
        fills = await self._lists.fills(exchange, query.since_ns, [market.symbol])
        if opened is None or fills is None:
            return [_unanswered(child_id, "the lists could not be read")]
        mine = [one for one in fills if one.child_id == child_id]
        at_work = [one for one in opened if one.child_id == child_id]
        if not at_work and not self.capabilities.client_id_length and not query.venue_order_id:
            return [*mine, _unanswered(child_id, "the venue finds no order without its own id")]
        return [*mine, *at_work] if at_work else [*mine, absent]

    async def open_orders(self) -> Sequence[p.VenueAccepted] | None:
        if self._exchange is None:
            return None
        return await self._lists.opened(self._exchange)

    async def fills_since(self, since_ns: int) -> Sequence[p.VenueFill] | None:
        if self._exchange is None:
            return None
        return await self._lists.fills(self._exchange, since_ns)

    async def mass_status(self, ask: p.MassStatus) -> Sequence[p.Said] | None:
        for query in ask.orders:
            self._names.learn(query.venue_order_id, query.child_id)
        if (exchange := self._exchange) is None:
            return None
        stirring = self._lists.begin(self._markets[query.symbol].symbol for query in ask.orders)
        opened, fills = None, None
        try:
            opened = await self._lists.opened(exchange)
            fills = await self._lists.fills(exchange, ask.since_ns, self._by_venue)
        finally:
            self._lists.end(stirring, whole=opened is not None and fills is not None)
        if opened is None or fills is None:
            return None
        at_work = {one.child_id for one in opened}
        limit = asyncio.Semaphore(QUERIES_AT_ONCE)

        async def one(query: p.QueryOrder) -> Sequence[p.Said]:
            async with limit:
                return await self.query_order(query)

        answers = await asyncio.gather(*(one(query) for query in ask.orders if query.child_id not in at_work))
        found = [said for answer in answers for said in answer]
        if self.capabilities.client_id_length and any(isinstance(s, p.VenueUnanswered) for s in found):
            return None
        return [*fills, *opened, *found]

    async def instruments(self) -> Sequence[Listing]:
        """Those of our listings that the venue has, with its own tick, lot and minimums in our units."""
        listings = []
        for market in self._markets.values():
            terms = (self._exchange.markets if self._exchange else {}).get(market.symbol)
            if terms is not None:
                listings.append(stated(market, terms))
        return listings

    async def balances(self) -> dict[str, Decimal] | None:
        try:
            found = await self._exchange.fetch_balance()
        except Exception as error:  # noqa: BLE001 - it is not known, and that is said
            self._log.warning("no balances", error=self._safe(error))
            return None
        return {name: decimal(amount) for name, amount in found["total"].items() if amount}

    async def positions(self) -> dict[str, int] | None:
        if self._quirk.market_type == "spot":
            return {}
        try:
            found = await self._exchange.fetch_positions([market.symbol for market in self._markets.values()])
            net: dict[str, int] = {}
            for one in found:
                market = self._by_venue[one["symbol"]]
                sign = -1 if one["side"] == "short" else 1
                net[market.instrument.symbol] = sign * market.qty(one["contracts"] or 0)
        except Exception as error:  # noqa: BLE001 - they are not known, and that is said
            self._log.warning("no positions", error=self._safe(error))
            return None
        return net

    async def fees(self) -> dict[str, tuple[int, int]] | None:
        found: dict[str, tuple[int, int]] = {}
        for symbol, market in self._markets.items():
            try:
                fee = await self._exchange.fetch_trading_fee(market.symbol)
            except Exception as error:  # noqa: BLE001 - they are not known, and that is said
                self._log.warning("no fees", symbol=symbol, error=self._safe(error))
                return None
            found[symbol] = (int(decimal(fee["maker"]) * FEE_ONE), int(decimal(fee["taker"]) * FEE_ONE))
        return found


def _unanswered(child_id: str, text: str, code: Code = Code.TIMEOUT) -> p.VenueUnanswered:
    return p.VenueUnanswered(child_id=child_id, code=code, text=text)
