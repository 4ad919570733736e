"""The SDK: submit parent orders, follow them, change them, ask for plans.

    async with Client() as client:
        parent = await client.submit("BTC/USDT", "buy", "1", algo="twap", duration="5m")
        async for event in parent:
            print(event)

A submission is safe to repeat: the parent id is fixed before the first try, and the scheduler takes an
identical body under a known id for the same order.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import msgspec
import nats.errors
from nats.aio.client import Client as Connection

from bestex import bus, bus_access, codec, config, entry, ids, reading, rights, streams, subjects
from bestex import messages as m
from bestex.errors import BusError, Forbidden, OutcomeUnknown, UsageError
from bestex.parent import Event, Parent
from bestex.status import ParentStatus, status_of
from bestex.tail import Tail

if TYPE_CHECKING:
    from bestex.execution import Execution

SUBMIT_TIMEOUT_S = 30.0  # a bus that restarts is back long before; after that the caller must decide
NO_STREAM_TIMEOUT_S = 3.0  # nothing took the message: the streams are not there, or not there yet
RETRY_S = 0.1
PLAN_TIMEOUT_S = 3.0


class Algorithm(Protocol):
    """An algorithm's parameters, as every class of the registry is."""

    name: ClassVar[str]


class Client:
    """A connection to the platform. `url` beats NATS_URL, a running `bestex up` and the configuration;
    `credentials` is the path of a key file, which is found by itself where that platform runs."""

    def __init__(
        self,
        url: str | None = None,
        configuration: config.Config | str | Path | None = None,
        *,
        credentials: str | Path | None = None,
        name: str = "bestex-client",
    ) -> None:
        loaded = configuration if isinstance(configuration, config.Config) else config.load(configuration)
        found = bus_access.find(loaded, rights.USER, url)
        self._access = found if credentials is None else replace(found, key=Path(credentials))
        self.url = found.url
        self.instruments = loaded.make_instruments()
        self._default_algo = loaded.execution.default_algo
        self._name = name
        self._connection: Connection | None = None
        self._tails: list[Tail] = []
        self._following = asyncio.Lock()
        self._parents: dict[str, Parent] = {}

    async def __aenter__(self) -> Self:
        self._connection = await bus.connect(
            self._access, self._name, on_reconnected=self._renew, on_error=self._refused
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        for tail in self._tails:
            await tail.stop()
        self._tails.clear()
        if self._connection is not None:
            await self._connection.close()

    @property
    def connection(self) -> Connection:
        """The bus connection itself, for what this class does not do."""
        if self._connection is None:
            raise UsageError("the client is not connected; write `async with Client() as client:`")
        return self._connection

    # -- orders ---------------------------------------------------------------------------------------------

    async def submit(
        self,
        order: m.ParentOrder | str,
        side: m.Side | str | None = None,
        qty: Decimal | str | int | None = None,
        *,
        algo: str | Algorithm = "",
        limit_price: Decimal | str | None = None,
        parent_id: str = "",
        strategy: str = "",
        strategy_params: Mapping[str, Any] | None = None,
        venues: Sequence[str] | None = None,
        account: str = "default",
        trigger: m.Trigger | Mapping[str, Any] | None = None,
        otherwise: m.Alternative | Mapping[str, Any] | None = None,
        note: str = "",
        **params: Any,
    ) -> Parent:
        """Publish a parent order, and follow it. Either a whole ParentOrder, or a symbol, a side, a quantity.

        `algo` is a name or an algorithm with its parameters, such as `bestex.TWAP(duration="5m")`; left out, it is
        the configuration's `execution.default_algo`. `params` are the algorithm's, `strategy_params` the routing
        strategy's. `trigger`: a price that is waited for, such as {"price": "61000"}; `otherwise`: what is done
        instead when another is reached, such as {"algo": "market", "price": "58000"}. What is wrong with the order
        comes back as its `rejected` event. Raises OutcomeUnknown where the bus did not confirm in time (submit the
        same again, with the same parent id, to be sure), BusError where no stream takes orders.
        """
        if isinstance(order, str):
            if side is None or qty is None:
                raise UsageError("an order needs a symbol, a side and a quantity")
            order = entry.order(
                order,
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
        if not order.algo:
            order = msgspec.structs.replace(order, algo=self._default_algo)
        known = bool(order.parent_id)
        if not known:
            order = msgspec.structs.replace(order, parent_id=ids.new_parent_id())
        if not ids.is_parent_id(order.parent_id):
            raise UsageError(f"{order.parent_id!r} is no parent id; use 1 to 32 of A-Z a-z 0-9 _ -")
        if not order.symbol:
            raise UsageError("an order needs a symbol, such as BTC/USDT")
        await self._follow()
        parent = Parent(self, order.parent_id, order.symbol, order.algo)
        if known:
            parent.hold()
        self._parents[order.parent_id] = parent
        if known:
            past = await self._past(parent)
            accepted = next((event for _, _, event in past if isinstance(event, m.ParentAccepted)), None)
            if accepted is None:  # refused before, which does not use an id up: its answer is yet to come
                parent.skip(past)
                past = []
            elif not entry.is_same(order, accepted.order):
                self.forget(parent)
                raise UsageError(f"{order.parent_id} was used for another order; take another id")
            parent.tell(past)
        await self._publish(subjects.order("new", order.algo, order.symbol), order)
        return parent

    async def execute(self, order: m.ParentOrder) -> Execution:
        """Submit an order and stay until it has ended: what came of it. OrderRejected where it is refused."""
        from bestex import execution  # who only submits or looks needs none of it

        return await execution.work(self, order)

    async def follow(self, parent_id: str) -> Parent:
        """Follow a parent that is there already, from its first event. UsageError where there is none."""
        algo, symbol = await self._home(parent_id)
        await self._follow()
        parent = Parent(self, parent_id, symbol, algo)
        self._parents[parent_id] = parent
        parent.hold()
        parent.tell(await self._past(parent))
        return parent

    def forget(self, parent: Parent) -> None:
        """Follow it no more."""
        if self._parents.get(parent.parent_id) is parent:
            del self._parents[parent.parent_id]

    # Each command returns its place in the stream of requests, under which `answer` finds what became of it.

    async def cancel(self, parent_id: str, reason: str = "") -> int:
        return await self._command("cancel", parent_id, m.CancelOrder(reason=reason))

    async def modify(
        self,
        parent_id: str,
        *,
        qty: Decimal | str | None = None,
        limit_price: Decimal | str | None = None,
        strategy_params: Mapping[str, Any] | None = None,
        **params: Any,
    ) -> int:
        """Only what is given changes; `qty` is the new total, what is filled included."""
        change = m.ModifyOrder(
            qty=None if qty is None else entry.decimal("qty", qty),
            limit_price=None if limit_price is None else entry.decimal("limit_price", limit_price),
            params=params,
            strategy_params=dict(strategy_params or {}),
        )
        return await self._command("modify", parent_id, change)

    async def pause(self, parent_id: str, reason: str = "") -> int:
        return await self._command("pause", parent_id, m.PauseOrder(reason=reason))

    async def resume(self, parent_id: str, reason: str = "") -> int:
        return await self._command("resume", parent_id, m.ResumeOrder(reason=reason))

    async def answer(self, parent_id: str, request: int) -> Event | None:
        """The scheduler's answer to the command at `request`; None where there is none yet."""
        found: list[Event] = []

        def take(delivery: reading.Kept) -> None:
            event = codec.from_json(delivery.data, subjects.kind_of(delivery.subject).message)
            if getattr(event, "order_seq", 0) == request:
                found.append(event)

        mine = f"{subjects.ROOT}.parent.*.{parent_id}.*"
        await reading.read_all(self.connection, subjects.SCHED, [mine], take, deliver="last_per_subject")
        return found[0] if found else None

    # -- questions ------------------------------------------------------------------------------------------

    async def plan(
        self,
        symbol: str,
        side: m.Side | str,
        qty: Decimal | str | int,
        *,
        limit_price: Decimal | str | None = None,
        strategy: str = "",
        venues: Sequence[str] | None = None,
        **strategy_params: Any,
    ) -> m.Plan:
        """The route that the router would take now, legs and costs. Nothing is sent to any venue."""
        request = m.PlanRequest(
            symbol=symbol,
            side=entry.side_of(side),
            qty=entry.decimal("qty", qty),
            limit_price=None if limit_price is None else entry.decimal("limit_price", limit_price),
            strategy=strategy,
            strategy_params=strategy_params,
            venues=None if venues is None else list(venues),
        )
        return await self.ask_plan(request)

    async def ask_plan(self, request: m.PlanRequest) -> m.Plan:
        """A plan by its request. BusError where no router answers."""
        try:
            reply = await self.connection.request(
                subjects.PLAN, codec.to_json(request), timeout=PLAN_TIMEOUT_S
            )
        except (nats.errors.Error, TimeoutError) as error:
            raise BusError("no router answers; look at `bestex doctor`") from error
        return codec.from_json(reply.data, m.Plan)

    async def status(self, parent_id: str) -> ParentStatus:
        """Where a parent stands. UsageError where there is none of this id."""
        found = await self._statuses(f"{subjects.ROOT}.parent.*.{parent_id}.*")
        if parent_id not in found:
            raise UsageError(f"there is no parent {parent_id}; `bestex status` lists them")
        return found[parent_id]

    async def parents(self) -> list[ParentStatus]:
        """Every parent that the bus knows, oldest first."""
        return list((await self._statuses(f"{subjects.ROOT}.parent.>")).values())

    async def history(self, parent_id: str) -> list[Event]:
        """Events and fills of a parent, in the order of their times."""
        _, symbol = await self._home(parent_id)
        parent = Parent(self, parent_id, symbol, "")
        return [event for _, _, event in await self._past(parent)]

    async def tca(self, parent_id: str) -> m.TcaReport | None:
        """The recorder's cost report; None where there is none (yet)."""
        stored = await bus.read_last(self.connection, subjects.METRICS, subjects.metrics("tca", parent_id))
        return None if stored is None else codec.from_json(stored.data, m.TcaReport)

    # -- within ---------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Tail the parents' stream and every venue's fills, once per client."""
        async with self._following:
            if self._tails:
                return
            fills = f"{subjects.ROOT}.fill.>"
            sources = [(subjects.SCHED, f"{subjects.ROOT}.parent.>")]
            sources += [(stream, fills) for stream in await streams.holding(self.connection, fills)]
            tails = [
                Tail(self.connection, stream, [subject], self._hear, self._fail)
                for stream, subject in sources
            ]
            await asyncio.gather(*(tail.start() for tail in tails))
            self._tails = tails

    def _hear(self, delivery: reading.Kept) -> None:
        if not self._parents:
            return
        event = codec.from_json(delivery.data, subjects.kind_of(delivery.subject).message)
        parent = self._parents.get(event.parent_id)
        if parent is not None:
            parent.hear(delivery.stream, delivery.seq, event)

    def _fail(self, error: Exception) -> None:
        for parent in list(self._parents.values()):
            parent.fail(error)

    def _refused(self, error: Exception) -> None:
        if isinstance(error, Forbidden):
            self._fail(error)

    async def _renew(self) -> None:
        for tail in self._tails:
            tail.renew()

    async def _past(self, parent: Parent) -> list[tuple[str, int, Event]]:
        """What is stored of a parent, in the order of its times."""
        found: list[tuple[str, int, Event]] = []

        def take(delivery: reading.Kept) -> None:
            event = codec.from_json(delivery.data, subjects.kind_of(delivery.subject).message)
            if event.parent_id == parent.parent_id:
                found.append((delivery.stream, delivery.seq, event))

        mine = f"{subjects.ROOT}.parent.*.{parent.parent_id}.*"
        await reading.read_all(self.connection, subjects.SCHED, [mine], take)
        if found:
            fills = f"{subjects.ROOT}.fill.*.{ids.token(parent.symbol)}.*"
            for stream in await streams.holding(self.connection, f"{subjects.ROOT}.fill.>"):
                await reading.read_all(self.connection, stream, [fills], take)
        # The stable sort keeps each stream's own order; an event that counts a fill comes after it.
        return sorted(found, key=lambda item: (item[2].at, not isinstance(item[2], m.Fill)))

    async def _statuses(self, subject: str) -> dict[str, ParentStatus]:
        events: list[Event] = []

        def take(delivery: reading.Kept) -> None:
            events.append(codec.from_json(delivery.data, subjects.kind_of(delivery.subject).message))

        await reading.read_all(self.connection, subjects.SCHED, [subject], take, deliver="last_per_subject")
        return status_of(events)

    async def _home(self, parent_id: str) -> tuple[str, str]:
        """Algorithm and symbol of an accepted parent: what a command's subject needs."""
        if not ids.is_parent_id(parent_id):
            raise UsageError(f"{parent_id!r} is no parent id; use 1 to 32 of A-Z a-z 0-9 _ -")
        known = self._parents.get(parent_id)
        if known is not None:
            return known.algo, known.symbol
        subject = f"{subjects.ROOT}.parent.*.{parent_id}.accepted"
        stored = await bus.read_last(self.connection, subjects.SCHED, subject)
        if stored is None:
            raise UsageError(f"there is no parent {parent_id}; `bestex status` lists them")
        accepted = codec.from_json(stored.data, m.ParentAccepted)
        return accepted.order.algo, accepted.symbol

    async def _command(self, verb: str, parent_id: str, message: Any) -> int:
        algo, symbol = await self._home(parent_id)
        return await self._publish(subjects.order(verb, algo, symbol, parent_id), message)

    async def _publish(self, subject: str, message: Any) -> int:
        """Store in ORDERS, trying again while the outcome is unknown; a repetition changes nothing."""
        payload = codec.to_json(message)
        began = time.monotonic()
        while True:
            try:
                ack = await bus.publish(self.connection, subject, payload)
            except nats.errors.MaxPayloadError:
                raise UsageError(f"the order is too large: {len(payload)} bytes") from None
            except nats.errors.NoRespondersError:
                if time.monotonic() - began > NO_STREAM_TIMEOUT_S:
                    raise BusError("no stream takes orders; run `bestex streams apply`") from None
            except (nats.errors.Error, TimeoutError) as error:
                if time.monotonic() - began > SUBMIT_TIMEOUT_S:
                    raise OutcomeUnknown(
                        f"{subject}: the bus did not confirm for {SUBMIT_TIMEOUT_S:.0f} s; "
                        "send the same again to be sure, it is taken once"
                    ) from error
            else:
                if ack.error is not None:
                    raise BusError(f"{subject}: {ack.error.description}")
                return ack.seq
            await asyncio.sleep(RETRY_S)
