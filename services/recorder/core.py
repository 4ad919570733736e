"""What the recorder makes of an event: rows for the database, and sums by venue and by algorithm.

Rows are upserts by natural key that name only the columns which the event speaks of, so events of different
streams may arrive in any order. The recorder's shell feeds each (stream, seq) once, however often the bus
delivers it.
"""

from __future__ import annotations

import statistics
from collections import deque
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from bestex import codec, subjects
from bestex import messages as m
from bestex.clock import MS, SECOND, Time
from bestex.errors import Code
from bestex.units import total
from services.recorder import rows as made
from services.recorder import volumes
from services.recorder.pools import Pools
from services.recorder.reliability import Reliability
from services.recorder.rows import Due, Row, Upsert, Value

ACKS_KEPT = 512  # enough for a median that follows the last minutes
BREAKER_SHOWN_NS = 30 * SECOND  # after the router has said it last: it says so with every decision
SUBMISSIONS_KEPT = 16_384  # children between submitting and their first answer; far above any working set


class Record(NamedTuple):
    """One stored message, as its stream holds it. `at_ns` is the stream's own clock."""

    stream: str
    seq: int
    subject: str
    at_ns: int
    data: bytes


class VenueSums(msgspec.Struct, omit_defaults=True):
    children: int = 0
    rejected: int = 0
    unknown: int = 0
    fills: int = 0
    notional: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    ordered: Decimal = Decimal(0)  # notional of the children at their limits


class AlgoSums(msgspec.Struct, omit_defaults=True):
    parents: int = 0
    done: int = 0
    filled: int = 0
    fill_rates: float = 0.0  # sum over the analysed parents
    analysed: int = 0
    weighted_bps: float = 0.0  # sum of slippage x notional
    weight: float = 0.0


class RecorderCore:
    """`take` a new event; `venue_metrics` and `algo_metrics` at any time."""

    def __init__(
        self,
        venues: dict[str, VenueSums] | None = None,
        algos: dict[str, AlgoSums] | None = None,
        pools: Pools | None = None,
    ) -> None:
        self.venues = venues or {}
        self._pools = pools or Pools()
        self._reliability: dict[str, Reliability] = {}
        self._breakers: dict[str, tuple[Time, str]] = {}
        self.algos = algos or {}
        self.changed: set[tuple[str, str]] = (
            set()
        )  # (venue | algo, name) since the shell last stored the sums
        self._acks_ms: dict[str, deque[float]] = {}
        self._submitted: dict[str, Time] = {}

    def take(self, message: Any) -> list[Row]:
        """The rows that follow from a decoded message of a service."""
        match message:
            case m.ParentEvent():
                return self._parent(message)
            case m.RouteEvent():
                self._left_out(message)
                return made.route(message)
            case m.ChildNew():
                return [made.child_command(message)]
            case m.ExecEvent():
                return self._exec(message)
            case m.Fill():
                return self._fill(message)
            case m.VolumeDay():
                return [volumes.row(message)]  # an operator brought it
        return []

    # -- parents ---------------------------------------------------------------------------------------------

    def _parent(self, event: m.ParentEvent) -> list[Row]:
        key: dict[str, Value] = {"parent_id": event.parent_id, "symbol": event.symbol}
        values = {
            "state": subjects.event_name(event),
            "updated_at": event.at,
            "cum_qty": event.cum_qty,
            "leaves_qty": event.leaves_qty,
            "avg_px": event.avg_px,
        }
        rows: list[Row] = []
        match event:
            case m.ParentAccepted(order=order):
                self._algo(order.algo).parents += 1
                values |= made.order(order) | {
                    "accepted_at": event.at,
                    "start_at": event.start_at,
                    "end_at": event.end_at,
                    "arrival_px": event.arrival_px,
                    "text": event.reason or None,
                }
            case m.ParentStarted():
                values |= {"start_at": event.at, "arrival_px": event.arrival_px}
            case m.ParentModified(order=order):
                values |= made.order(order) | {"end_at": event.end_at}
            case m.ParentRejected(request="new"):
                values |= {"reason": event.code, "text": event.text}
            case m.ParentRejected():
                return []
            case m.ParentSliced():
                rows.append(made.of_slice(event))
            case m.ParentDone():
                values |= {
                    "done_at": event.at,
                    "notional": event.notional,
                    "fees": event.fees,
                    "reason": event.reason,
                    "text": event.text or None,
                }
                rows += [Due(event.parent_id, event.symbol), *self._pools.take(event)]
        if isinstance(event, m.ParentRejected):
            return [Upsert("parents", key, made.plain(values))]
        return [Upsert("parents", key, made.plain(values)), *rows]

    def _left_out(self, event: m.RouteEvent) -> None:
        """What the router says of a venue that it leaves alone: its breaker lives there, and is shown here."""
        if isinstance(event, m.RouteDecided):
            for left in event.left_out:
                if left.reason.startswith(f"{Code.BREAKER_OPEN}:"):
                    self._breakers[left.venue] = event.at, left.reason

    # -- execution -------------------------------------------------------------------------------------------

    def _exec(self, event: m.ExecEvent) -> list[Row]:
        values: dict[str, Any] = {
            "venue": event.venue,
            "symbol": event.symbol,
            "parent_id": event.parent_id,
            "slice_no": event.slice_no,
            "state": subjects.event_name(event),
        }
        sums = self._venue(event.venue)
        self._reliability.setdefault(event.venue, Reliability()).take(event)
        match event:
            case m.ExecSubmitting():
                sums.children += 1
                sums.ordered += event.qty * event.price
                if len(self._submitted) < SUBMISSIONS_KEPT:
                    self._submitted[event.child_id] = event.at
                values |= {
                    "submitting_at": event.at,
                    "side": event.side,
                    "qty": event.qty,
                    "price": event.price,
                    "tif": event.tif,
                    "post_only": event.post_only,
                }
            case m.ExecAccepted():
                values |= {"accepted_at": event.at, "venue_order_id": event.venue_order_id}
            case m.ExecReplaced():
                values |= {"qty": event.qty, "price": event.price, "venue_order_id": event.venue_order_id}
            case m.ExecUnknown():
                sums.unknown += 1
                values |= {"code": event.code, "text": event.text}
            case m.ExecCancelRejected() | m.ExecReplaceRejected() | m.ExecFirmRejected():
                values = values | {"text": event.text}
                del values["state"]  # the refusal of a request changes nothing
            case m.ExecEnded():
                sums.rejected += isinstance(event, m.ExecRejected)
                values |= {
                    "ended_at": event.at,
                    "cum_qty": event.cum_qty,
                    "notional": event.notional,
                    "fees": event.fees,
                    "code": getattr(event, "code", None),
                    "text": getattr(event, "text", None),
                }
        if not isinstance(event, m.ExecSubmitting | m.ExecUnknown):
            self._answered(event.venue, event.child_id, event.at)
        rows: list[Row] = [Upsert("children", {"child_id": event.child_id}, made.plain(values))]
        if event.ends:
            rows.append(Due(event.parent_id, event.symbol))
        return rows

    def _fill(self, fill: m.Fill) -> list[Row]:
        sums = self._venue(fill.venue)
        sums.fills += 1
        sums.notional = total(sums.notional, fill.qty * fill.price)
        sums.fees = total(sums.fees, fill.fee)
        self._answered(fill.venue, fill.child_id, fill.at)
        key: dict[str, Value] = {"venue": fill.venue, "symbol": fill.symbol, "fill_id": fill.fill_id}
        values = {
            "trade_id": fill.trade_id,
            "child_id": fill.child_id,
            "parent_id": fill.parent_id,
            "slice_no": fill.slice_no,
            "side": fill.side,
            "qty": fill.qty,
            "price": fill.price,
            "fee": fill.fee,
            "fee_currency": fill.fee_currency,
            "liquidity": fill.liquidity,
            "venue_at": fill.venue_at,
            "at": fill.at,
        }
        return [Upsert("fills", key, made.plain(values)), Due(fill.parent_id, fill.symbol)]

    def _answered(self, venue: str, child_id: str, at: Time) -> None:
        sent = self._submitted.pop(child_id, None)
        if sent is not None:
            self._acks_ms.setdefault(venue, deque(maxlen=ACKS_KEPT)).append((at - sent) / MS)

    # -- sums ------------------------------------------------------------------------------------------------

    def analysed(self, report: m.TcaReport, before: m.TcaReport | None) -> None:
        """A parent's cost analysis was made, or made again (`before` is then the one that it replaces)."""
        sums = self._algo(report.algo)
        if before is None:
            sums.done += 1
        for sign, item in ((-1, before), (1, report)):
            if item is None:
                continue
            sums.analysed += sign
            sums.filled += sign * (item.cum_qty >= item.qty)
            sums.fill_rates += sign * item.fill_rate
            if item.arrival_slippage_bps is not None and item.avg_px is not None:
                notional = float(item.cum_qty * item.avg_px)
                sums.weighted_bps += sign * item.arrival_slippage_bps * notional
                sums.weight += sign * notional

    def venue_metrics(self, venue: str, at: Time) -> m.VenueMetrics:
        sums = self._venue(venue)
        acks = self._acks_ms.get(venue)
        reliability = self._reliability.get(venue) or Reliability()
        said_at, why = self._breakers.get(venue, (Time(0), ""))
        return m.VenueMetrics(
            venue=venue,
            at=at,
            children=sums.children,
            rejected=sums.rejected,
            unknown=sums.unknown,
            fills=sums.fills,
            notional=sums.notional,
            fees=sums.fees,
            fill_ratio=min(1.0, float(sums.notional / sums.ordered)) if sums.ordered else 0.0,
            ack_ms_p50=statistics.median(acks) if acks else None,
            reliability=reliability.score,
            ioc_fill_ratio=reliability.ioc_fill_ratio,
            breaker=why if at - said_at < BREAKER_SHOWN_NS else "",
        )

    def algo_metrics(self, algo: str, at: Time) -> m.AlgoMetrics:
        sums = self._algo(algo)
        return m.AlgoMetrics(
            algo=algo,
            at=at,
            parents=sums.parents,
            done=sums.done,
            filled=sums.filled,
            fill_rate=sums.fill_rates / sums.analysed if sums.analysed else 0.0,
            arrival_slippage_bps=sums.weighted_bps / sums.weight if sums.weight > 0 else None,
        )

    def drain_sums(self) -> list[Row]:
        """Rows for the sums that changed since the last call."""
        rows: list[Row] = []
        for kind, name in sorted(self.changed):
            sums = self.venues[name] if kind == "venue" else self.algos[name]
            rows.append(
                Upsert("totals", {"kind": kind, "name": name}, {"sums": codec.to_json(sums).decode()})
            )
        self.changed.clear()
        return rows

    def _venue(self, venue: str) -> VenueSums:
        self.changed.add(("venue", venue))
        return self.venues.setdefault(venue, VenueSums())

    def _algo(self, algo: str) -> AlgoSums:
        self.changed.add(("algo", algo))
        return self.algos.setdefault(algo, AlgoSums())


def best_of(book: m.ConsolidatedBook) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """(price, quantity) of the best bid and ask over live venues, in units, prices less their basis."""
    bids = [
        (column.bid_px[0] - column.basis, column.bid_qty[0])
        for column in book.venues
        if column.status is m.BookStatus.LIVE and column.bid_px
    ]
    asks = [
        (column.ask_px[0] - column.basis, column.ask_qty[0])
        for column in book.venues
        if column.status is m.BookStatus.LIVE and column.ask_px
    ]
    return max(bids, default=None), min(asks, key=lambda level: (level[0], -level[1]), default=None)
