"""KIS as a venue: KRX, NXT or the United States of one account.

Requests go over HTTP, each once. Notices of the websocket are only believed as far as the lists agree: each makes us
ask for the order's sums, of which trades are made (`ledger`). What is not known of an order (a lost answer) is found
by its terms. KIS refuses no request that comes late, so a request that was under way for long is taken all the same:
what was sent is looked for until well after its deadline.

Orders are for the day at the longest; what is open at the close ends there. A notice of theirs comes once a fill; the
fee of a fill is not told: it is what the listing says, and the tax on sales (`options.sell_tax_bps`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

import structlog

from bestex.budget import Kind
from bestex.clock import DAY, SECOND, AffineClock
from bestex.config import Config
from bestex.errors import Code, ConfigError
from bestex.instruments import FEE_ONE, Listing
from bestex.keys import read_keys
from bestex.kis import frames
from bestex.kis.client import SCOPE, Answer, KisClient, NoAnswer
from bestex.kis.hosts import CALENDARS, Host, host_of
from bestex.messages import Side
from bestex.units import UnitError
from services.gateway import port as p
from services.gateway.venues.kis import outcomes
from services.gateway.venues.kis.dialect import account_of, dialect_of, kind_of_dialect, number_of, order_id
from services.gateway.venues.kis.ledger import AMEND_KEPT_NS, Ledger, Note, Order, unanswered
from services.gateway.venues.kis.markets import Market, by_code, markets_of, number
from services.gateway.venues.kis.questions import Questions
from services.gateway.venues.kis.session import Session


class KisVenue:
    def __init__(self, name: str, config: Config, clock: AffineClock) -> None:
        """ConfigError where its settings or its keys cannot be used, or nobody has said that it is live."""
        self._name, self._config = name, config
        settings = config.venues[name]
        host = self._host = host_of(name, config)
        if settings.mode != "live" or not settings.keys:
            raise ConfigError(f'venues.{name}: orders are sent only with mode = "live" and a file of keys')
        keys = read_keys(settings.keys)
        account = account_of(keys)
        timeout_ns = int(config.execution.timeout)
        self._markets = {market.symbol: market for market in markets_of(name, config)}
        self._now_ns: Callable[[], int] = clock.now_ns
        self._client = KisClient(
            host,
            keys,
            Path(config.data_dir),
            timeout_ns,
            lambda: self._now_ns(),
            share=float(settings.rate_share),
            wall_s=clock.wall_seconds(timeout_ns),
        )
        self._codes = by_code(self._markets.values())
        self._dialect = dialect_of(host, account, self._codes)
        self._ledger = Ledger(self._fee, timeout_ns)
        self._log: structlog.stdlib.BoundLogger = structlog.get_logger(venue=name)
        self._session = Session(name, self._client, self._heard)
        self._say: p.Say = lambda _: None
        self._questions = Questions(
            self._client, self._dialect, self._ledger, self._session, self._markets, lambda: self._now_ns()
        )
        self._poked: set[str] = set()
        self._poking: asyncio.Task[None] | None = None
        self.capabilities = _capabilities(host)

    @staticmethod
    def stated(name: str, config: Config) -> p.Capabilities:
        """What the venue of that name can do, by its settings alone. ConfigError for a setting that there is not."""
        return _capabilities(host_of(name, config))

    def __repr__(self) -> str:
        return f"KisVenue({self._name})"

    # -- session -----------------------------------------------------------------------------------------------

    async def connect(self, say: p.Say, now_ns: Callable[[], int]) -> None:
        self._say, self._now_ns = say, now_ns
        await self._session.start(say)

    async def disconnect(self) -> None:
        if self._poking is not None:
            self._poking.cancel()
            await asyncio.gather(self._poking, return_exceptions=True)
        await self._session.stop()

    def _heard(self, tr_id: str, records: list[list[str]]) -> None:
        for fields in records:
            try:
                notice = frames.notice(tr_id, fields, self._now_ns())
                market = self._codes.get(notice.code)
                if market is None:
                    continue
                children = {self._ledger.owner(self._id(notice.original, notice.at_ns))}
                found = self._id(notice.number, notice.at_ns)
                if notice.is_fill:
                    note = Note(market.qty(notice.qty), market.price(notice.price), notice.at_ns)
                    children.add(self._ledger.noted(found, note))
                    self._questions.noted.set()
                children.add(self._ledger.owner(found))
            except (frames.FrameError, UnitError) as error:  # one notice: what it said is asked for
                self._log.error("a notice cannot be read", error=str(error))
            else:
                # That a new order was taken, its answer says: no request is spent on it.
                if notice.is_fill or notice.is_refused or notice.is_over or notice.original:
                    self._poke(children - {""})

    def _id(self, num: str, at_ns: int) -> str:
        """Of the order that is called so: an American night has two dates in Seoul."""
        today, yesterday = (order_id(frames.date(ns), num) for ns in (at_ns, at_ns - DAY))
        return yesterday if self._ledger.owner(yesterday) and not self._ledger.owner(today) else today

    def _poke(self, children: set[str]) -> None:
        """Ask for the sums of these: the notices of one moment together."""
        self._poked |= children
        if self._poked and (self._poking is None or self._poking.done()):
            self._poking = asyncio.create_task(self._answer_pokes())

    async def _answer_pokes(self) -> None:
        while self._poked:
            children, self._poked = self._poked, set()
            orders = [order for one in children if (order := self._ledger.order(one)) is not None]
            try:
                for said in await self._questions.said_of(orders):
                    if not isinstance(said, p.VenueUnanswered):
                        self._say(said)
            except (NoAnswer, UnitError) as error:  # the next pull tells
                self._log.warning("no answer after a notice", error=self._safe(error))

    def _safe(self, error: BaseException) -> str:
        return self._client.keys.redact(str(error))

    def _fee(self, market: Market, side: Side, value: int) -> Decimal:
        rate = Decimal(market.listing.taker_fee_e8) / FEE_ONE
        if side is Side.SELL:
            rate += self._host.sell_tax
        return market.instrument.cash(value) * rate

    # -- orders ------------------------------------------------------------------------------------------------

    async def admit(self, request: p.Submit | p.Replace) -> Sequence[p.Said]:
        """An amendment names what is open: so that is asked for before."""
        if isinstance(request, p.Replace) and (known := self._ledger.order(request.child_id)) is not None:
            try:
                for said in await self._questions.said_of([known]):
                    self._say(said)
            except (NoAnswer, UnitError) as error:
                return [_not_replaced(request.child_id, Code.TIMEOUT, f"not sent: {self._safe(error)}")]
        why = await self._client.take(Kind.NEW, request.deadline_ns)
        if not why:
            return []
        if isinstance(request, p.Replace):
            return [_not_replaced(request.child_id, Code.RATE_LIMITED, why)]
        return [_not_sent(request.child_id, Code.RATE_LIMITED, why)]

    async def submit(self, order: p.Submit) -> Sequence[p.Said]:
        child_id, market = order.child_id, self._markets[order.symbol]
        if order.tif not in self.capabilities.tifs:
            return [_not_sent(child_id, Code.INVALID_PARAMETER, f"{self._name} takes no {order.tif} orders")]
        try:
            op, given = self._dialect.new(market, order.side, order.qty, order.price, order.tif)
        except UnitError as error:
            return [_not_sent(child_id, Code.OFF_LOT, str(error))]
        self._ledger.sending(order, market, self._now_ns())
        try:
            answer = await self._client.call(op, given, None)
        except NoAnswer as error:
            if not error.left:
                self._ledger.refused(child_id)
                return [_not_sent(child_id, Code.VENUE_DOWN, self._safe(error))]
            self._ledger.unanswered(child_id)
            return [p.VenueUnknown(child_id=child_id, code=Code.TIMEOUT, text=self._safe(error))]
        except BaseException:
            self._ledger.unanswered(child_id)
            raise
        return [self._submitted(order, market, answer)]

    def _submitted(self, order: p.Submit, market: Market, answer: Answer) -> p.Said:
        child_id, text = order.child_id, f"{answer.code} {answer.text}"
        if not answer.is_good:
            code = outcomes.refusal(answer.code)
            if code is None:
                self._ledger.unanswered(child_id)
                return p.VenueUnknown(child_id=child_id, code=Code.TIMEOUT, text=text)
            self._ledger.refused(child_id)
            return p.VenueRejected(child_id=child_id, code=code, text=text)
        made, branch = self._made(answer)
        if not made:
            self._ledger.unanswered(child_id)
            text = "the answer names no order"
            return p.VenueUnknown(child_id=child_id, code=Code.MALFORMED, text=text)
        kind = str(self._dialect.new(market, order.side, order.qty, order.price, order.tif)[1]["ORD_DVSN"])
        known = self._ledger.accepted(child_id, market, order.side, made, branch, kind)
        known.qty = order.qty
        if known.notes:
            self._poke({child_id})
        return p.VenueAccepted(child_id=child_id, venue_order_id=made)

    def _made(self, answer: Answer) -> tuple[str, str]:
        """The id that a request has got, and the office that numbered it."""
        output = answer.body.get("output") or {}
        at_ns = frames.near(str(output.get("ORD_TMD") or ""), self._now_ns())
        branch = str(output.get("KRX_FWDG_ORD_ORGNO") or "")
        return order_id(frames.date(at_ns), output.get("ODNO")), branch

    async def cancel(self, order: p.Cancel) -> Sequence[p.Said]:
        """A cancel is only acknowledged; that the order has ended is what its row says, which is asked for."""
        child_id, market = order.child_id, self._markets[order.symbol]
        known = self._ledger.order(child_id)
        venue_order_id = known.last_id if known is not None else order.venue_order_id
        if not venue_order_id:
            return [unanswered(child_id, "an order without a number cannot be cancelled")]
        branch, kind = (known.branch, known.kind) if known is not None else ("", "00")
        op, given = self._dialect.revise(market, number_of(venue_order_id), branch, kind, 0, 0)
        try:
            answer = await self._client.call(op, given, Kind.CANCEL)
        except NoAnswer as error:
            return [unanswered(child_id, self._safe(error))]
        if not answer.is_good:
            text = f"{answer.code} {answer.text}"
            if outcomes.is_passed_on(answer.code):
                return [p.VenueCancelRejected(child_id=child_id, code=Code.TOO_LATE, text=text)]
            return [unanswered(child_id, text)]
        if known is None:
            return []
        try:
            said = await self._questions.said_of([known])
        except (NoAnswer, UnitError):
            return []  # it will be asked for again
        return said if said and isinstance(said[-1], p.VenueClosed) else said[:-1]

    async def modify(self, order: p.Replace) -> Sequence[p.Said]:
        """KIS changes the price of all that is open; a quantity stays."""
        known = self._ledger.order(order.child_id)
        if known is None:
            return [_not_replaced(order.child_id, Code.UNKNOWN_ORDER, "its order is not known here")]
        if known.qty != order.qty or known.cum >= order.qty:
            text = "KIS changes the price alone, of what is open"
            return [_not_replaced(order.child_id, Code.INVALID_QTY, text)]
        return [await self._amend(known, self._markets[order.symbol], order)]

    async def _amend(self, known: Order, market: Market, order: p.Replace) -> p.Said:
        child_id = order.child_id
        op, given = self._dialect.revise(
            market, number_of(known.last_id), known.branch, known.kind, order.qty - known.cum, order.price
        )
        known.amend_until_ns = order.deadline_ns + AMEND_KEPT_NS
        try:
            answer = await self._client.call(op, given, None)
        except NoAnswer as error:
            if error.left:
                return unanswered(child_id, self._safe(error))
            known.amend_until_ns = 0
            return _not_replaced(child_id, Code.VENUE_DOWN, self._safe(error))
        if not answer.is_good:
            text, code = f"{answer.code} {answer.text}", outcomes.refusal(answer.code)
            if code is None and not outcomes.is_passed_on(answer.code):
                return unanswered(child_id, text)
            known.amend_until_ns = 0
            return _not_replaced(child_id, code or Code.VENUE_REJECTED, text)
        made, branch = self._made(answer)
        if not made:
            return unanswered(child_id, "the answer names no order")
        self._ledger.amended(known, made)
        known.branch = branch or known.branch
        return p.VenueReplaced(child_id=child_id, venue_order_id=made, qty=order.qty, price=order.price)

    async def firm(self, order: p.Firm) -> Sequence[p.Said]:  # noqa: ARG002 - it has no conditional orders
        return []

    async def arm(self, timeout_ns: int) -> bool:  # noqa: ARG002 - it has no such switch
        return False

    # -- queries -----------------------------------------------------------------------------------------------

    async def query_order(self, query: p.QueryOrder) -> Sequence[p.Said]:
        try:
            return await self._questions.query(query)
        except (NoAnswer, UnitError) as error:
            return [unanswered(query.child_id, self._safe(error))]

    async def open_orders(self) -> Sequence[p.VenueAccepted] | None:
        try:
            return await self._questions.open_orders()
        except (NoAnswer, UnitError) as error:
            self._log.warning("no list of open orders", error=self._safe(error))
            return None

    async def fills_since(self, since_ns: int) -> Sequence[p.VenueFill] | None:
        try:
            return await self._questions.fills_since(since_ns)
        except (NoAnswer, UnitError) as error:
            self._log.warning("no list of trades", error=self._safe(error))
            return None

    async def mass_status(self, ask: p.MassStatus) -> Sequence[p.Said] | None:
        try:
            return await self._questions.mass_status(ask)
        except (NoAnswer, UnitError) as error:
            self._log.warning("not reconciled", error=self._safe(error))
            return None

    async def instruments(self) -> Sequence[Listing]:
        """KIS states no terms: they are the exchange's rules, as configured."""
        return [market.listing for market in self._markets.values()]

    async def balances(self) -> dict[str, Decimal] | None:
        """Shares by the instrument's base."""
        op, given = self._dialect.balance()
        try:
            bodies = await self._client.pages(op, given, self._dialect.SUFFIX)
            held = self._dialect.holdings(bodies)
            found = {self._codes[code].base: number(qty) for code, qty in held.items() if code in self._codes}
        except (NoAnswer, UnitError) as error:
            self._log.warning("no balances", error=self._safe(error))
            return None
        return found

    async def positions(self) -> dict[str, int] | None:
        return {}

    async def fees(self) -> dict[str, tuple[int, int]] | None:
        """KIS does not state them: as configured."""
        return {
            symbol: (market.listing.maker_fee_e8, market.listing.taker_fee_e8)
            for symbol, market in self._markets.items()
        }


def _capabilities(host: Host) -> p.Capabilities:
    dialect = kind_of_dialect(host)
    return p.Capabilities(
        tifs=dialect.VIRTUAL_TIFS if host.virtual else dialect.TIFS,
        native_replace=True,
        ids_change=True,
        late_rejects=True,
        in_flight_max=8,
        holdings=True,
        money_told=False,  # cash moves when trades are settled, two days later
        rates=(p.RateBudget(scope=SCOPE, weight=host.rate, window_ns=SECOND),),
        calendar=CALENDARS[host.exchange],
    )


def _not_sent(child_id: str, code: Code, text: str) -> p.VenueNotSent:
    return p.VenueNotSent(child_id=child_id, code=code, text=text)


def _not_replaced(child_id: str, code: Code, text: str) -> p.VenueReplaceRejected:
    return p.VenueReplaceRejected(child_id=child_id, code=code, text=text)
