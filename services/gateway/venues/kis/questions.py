"""What is asked of KIS about orders, and how the answers are put together. Raises NoAnswer and UnitError.

The list of the day's orders is the truth: it has every number, with the sums of its fills. It is read whole, or for
one order where its row alone says everything. The list of the open orders is the second witness of an absence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from bestex.kis import frames
from bestex.kis.client import Json, KisClient
from services.gateway import port as p
from services.gateway.venues.kis.dialect import Dialect, Row, number_of
from services.gateway.venues.kis.ledger import AMBIGUOUS, Ledger, Order, unanswered
from services.gateway.venues.kis.markets import Market
from services.gateway.venues.kis.session import Session

FOREIGN = "foreign-"  # before the venue's id, for an order that is nobody's here
DIRECT_MAX = 2  # orders that are asked for one by one at once; more are read together
NOTES_WAIT_S = 0.2  # how long notices of fills may be behind the lists, which tell no single prices


class Questions:
    def __init__(
        self,
        client: KisClient,
        dialect: Dialect,
        ledger: Ledger,
        session: Session,
        markets: Mapping[str, Market],
        now_ns: Callable[[], int],
    ) -> None:
        self._client, self._dialect, self._ledger = client, dialect, ledger
        self._session, self._markets, self._now_ns = session, markets, now_ns
        self.noted = asyncio.Event()  # a notice of a fill has come
        self._direct = 0  # questions for one order that are under way
        self._one_at_a_time = asyncio.Lock()
        self._next: asyncio.Task[list[Row]] | None = None
        self._next_since_ns = 0

    async def _day(self, since_ns: int) -> list[Row]:
        """All rows since then, read after this was called. Whoever asks while a reading is under way has the next one
        in common: at the broker's limits a thousand orders cannot be asked for one by one."""
        if self._next is None:
            self._next, self._next_since_ns = asyncio.create_task(self._read_next()), since_ns
        self._next_since_ns = min(self._next_since_ns, since_ns)
        return await asyncio.shield(self._next)

    async def _read_next(self) -> list[Row]:
        async with self._one_at_a_time:
            self._next = None  # who comes from now on is too late for this one
            return await self._rows(self._next_since_ns)

    async def _rows(self, since_ns: int, num: str = "") -> list[Row]:
        op, given = self._dialect.orders(since_ns, self._now_ns(), num)
        return self._dialect.rows(await self._client.pages(op, given, self._dialect.SUFFIX))

    async def _open(self) -> dict[str, Json]:
        """Rows of the open orders by number."""
        op, given = self._dialect.open(self._now_ns())
        return self._dialect.open_numbers(await self._client.pages(op, given, self._dialect.SUFFIX))

    # -- orders that are known ---------------------------------------------------------------------------------

    async def said_of(self, orders: Sequence[Order]) -> list[p.Said]:
        """What is new of these: of each its trades, and then where it stands."""
        rows: list[Row] = []
        if len(orders) == 1 and self._direct < DIRECT_MAX and self._dialect.finds_by_number:
            rows = await self._own_row(orders[0])
        if not rows and orders:
            rows = await self._day(min(begin_of(order.ids[0]) for order in orders))
        return await self._stand_all(orders, rows)

    async def _own_row(self, order: Order) -> list[Row]:
        """Its row, where that alone says everything; else none."""
        if len(order.ids) != 1:
            return []
        self._direct += 1
        try:
            rows = await self._rows(begin_of(order.ids[0]), number_of(order.ids[0]))
        finally:
            self._direct -= 1
        return rows if self._ledger.is_conclusive(order, self._ledger.chain(order, rows)) else []

    async def _stand_all(self, orders: Sequence[Order], rows: Sequence[Row]) -> list[p.Said]:
        each = await asyncio.gather(*(self._stand(order, rows) for order in orders))
        return [said for one in each for said in one]

    async def _stand(self, order: Order, rows: Sequence[Row]) -> list[p.Said]:
        """By its rows; empty where there is none. Notices of fills that are missing are waited for, a moment."""
        found = self._ledger.chain(order, rows)
        if not found:
            return []
        if self._session.hears and self._ledger.lacks_notes(order, found):
            try:
                async with asyncio.timeout(NOTES_WAIT_S):
                    while self._ledger.lacks_notes(order, found):
                        self.noted.clear()
                        await self.noted.wait()
            except TimeoutError:
                pass  # then the sums alone say what was traded
        return self._ledger.say(order, found, rows, self._now_ns())

    # -- questions of the core ---------------------------------------------------------------------------------

    async def query(self, query: p.QueryOrder) -> list[p.Said]:
        asked_ns = self._now_ns()
        self._ledger.adopt(query, self._markets[query.symbol], asked_ns)
        if query.endpoint is p.Endpoint.LISTS:
            return await self._query_lists(query, asked_ns)
        order = self._ledger.order(query.child_id)
        if order is not None:
            return await self.said_of([order]) or [self._absent(query, asked_ns)]
        rows = await self._day(self._begin([query], query.since_ns or asked_ns))
        return await self._resolve(query, rows, asked_ns)

    async def _query_lists(self, query: p.QueryOrder, asked_ns: int) -> list[p.Said]:
        """The open orders first: what fills in between is then among the trades."""
        opened = await self._open()
        rows = await self._day(self._begin([query], query.since_ns or asked_ns))
        said = await self._resolve(query, rows, asked_ns)
        order = self._ledger.order(query.child_id)
        if isinstance(said[-1], p.VenueAbsent) and self._is_open(query, order, opened):
            return [unanswered(query.child_id, "its lists do not agree")]
        old = [fill for fill in order.fills if fill.venue_ns >= query.since_ns] if order else []
        return [*_each_once(old, said[:-1]), said[-1]]

    def _is_open(self, query: p.QueryOrder, order: Order | None, opened: dict[str, Json]) -> bool:
        """Whether the list of open orders has it, or one that may be it."""
        if order is not None:
            return any(number_of(one) in opened for one in order.ids)
        market = self._markets[query.symbol]
        known = {number_of(one) for one in query.claimed}
        return any(
            num not in known and self._dialect.is_like(row, market, query.side, query.qty, query.price)
            for num, row in opened.items()
        )

    async def _resolve(self, query: p.QueryOrder, rows: Sequence[Row], asked_ns: int) -> list[p.Said]:
        """By the day's rows, whose order need not be known yet."""
        order = self._ledger.order(query.child_id)
        if order is None:
            row, is_certain = self._ledger.match(query, rows, self._now_ns())
            if row is None:
                return [
                    self._absent(query, asked_ns) if is_certain else unanswered(query.child_id, AMBIGUOUS)
                ]
            order = self._ledger.accepted(query.child_id, row.market, row.side, row.id, row.branch, row.kind)
            order.cum, order.notional = query.cum_qty, query.notional
        return await self._stand(order, rows) or [self._absent(query, asked_ns)]

    def _absent(self, query: p.QueryOrder, asked_ns: int) -> p.VenueAbsent:
        return p.VenueAbsent(child_id=query.child_id, endpoint=query.endpoint, asked_ns=asked_ns)

    def _begin(self, queries: Sequence[p.QueryOrder], since_ns: int) -> int:
        """From when on the rows of all these are."""
        orders = [order for one in queries if (order := self._ledger.order(one.child_id)) is not None]
        sent = [one.submitted_ns for one in queries if one.submitted_ns]
        return min([since_ns, *sent, *(begin_of(order.ids[0]) for order in orders)])

    async def open_orders(self) -> list[p.VenueAccepted]:
        opened = await self._open()
        return self._opened(opened, await self._day(self._now_ns()))

    def _opened(self, opened: Mapping[str, Json], rows: Sequence[Row]) -> list[p.VenueAccepted]:
        return [
            p.VenueAccepted(
                child_id=self._ledger.owner(row.id) or f"{FOREIGN}{row.id}",
                venue_order_id=row.id,
                cum_qty=row.filled,
                qty=row.qty,
                price=row.price,
            )
            for row in rows
            if number_of(row.id) in opened and row.left
        ]

    async def fills_since(self, since_ns: int) -> list[p.VenueFill]:
        new = await self._read_all(await self._day(since_ns))
        return _each_once(self._ledger.fills_since(since_ns), new)

    async def _read_all(self, rows: Sequence[Row]) -> list[p.Said]:
        """Everything that is new of the orders in these rows that are ours."""
        children = dict.fromkeys(self._ledger.owner(row.id) for row in rows)
        orders = [order for one in children if (order := self._ledger.order(one)) is not None]
        return await self._stand_all(orders, rows)

    async def mass_status(self, ask: p.MassStatus) -> list[p.Said]:
        """All from one reading of the lists: a question for each order would take minutes at the broker's limits."""
        asked_ns = self._now_ns()
        for query in ask.orders:
            self._ledger.adopt(query, self._markets[query.symbol], asked_ns)
        opened = await self._open()
        rows = await self._day(self._begin(ask.orders, ask.since_ns))
        each = await asyncio.gather(*(self._resolve(query, rows, asked_ns) for query in ask.orders))
        said = [one for answer in each for one in answer]
        new = await self._read_all(rows)
        foreign = [one for one in self._opened(opened, rows) if one.child_id.startswith(FOREIGN)]
        fills = _each_once(self._ledger.fills_since(ask.since_ns), [*said, *new])
        return [*fills, *foreign, *(one for one in said if not isinstance(one, p.VenueFill))]


def _each_once(old: Sequence[p.VenueFill], new: Sequence[p.Said]) -> list[p.VenueFill]:
    """Trades since some time, and those that have just been found, whenever they were: the broker's clock is not
    ours. The oldest first."""
    found = {one.trade_id: one for one in [*old, *new] if isinstance(one, p.VenueFill)}
    return sorted(found.values(), key=lambda fill: fill.venue_ns)


def begin_of(venue_order_id: str) -> int:
    """The beginning of the day, in Seoul, that an order's id names."""
    return frames.moment(venue_order_id.partition("-")[0], "000000")
