"""A venue's own journal against what the streams say: the venue's word is the truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from bestex import messages as m
from bestex import sim_wire as wire
from bestex.audit.children import ChildHistory, show_order
from bestex.audit.report import Findings, Witness, stored_ns
from bestex.audit.slices import Command
from bestex.clock import MINUTE, MS, rfc3339
from bestex.ids import is_child_id
from bestex.units import from_units

# Between the gateway's last look at the clock and the venue's: a network, a busy machine, and two clocks.
LATENCY_ALLOWANCE_NS = 250 * MS
# Trades are pulled every few seconds, with an overlap: one that is still missing when trades of a minute later have
# been told of is lost.
PULLED_NS = MINUTE


@dataclass(slots=True)
class _Order:
    """What the venue did with one client id."""

    received: list[Witness] = field(default_factory=list)
    firmed: list[tuple[Witness, bool]] = field(
        default_factory=list
    )  # the requests, and whether they were taken
    request: wire.Submit | None = None
    state: wire.OrderState | None = None
    state_witness: Witness | None = None
    trades: dict[str, tuple[Decimal, Decimal, Decimal, Witness]] = field(default_factory=dict)


class VenueJournal:
    """`take` the lines of one venue's journal in order, then `finish`."""

    def __init__(self, findings: Findings, venue: str, allowance_ns: int = LATENCY_ALLOWANCE_NS) -> None:
        self.venue = venue
        self.orders: dict[str, _Order] = {}
        self.foreign = 0  # orders that are not of the platform: other accounts, tests by hand
        self._allowance_ns = allowance_ns
        self._scales: dict[str, tuple[int, int]] = {}
        self._findings = findings

    def take(self, line: wire.JournalLine) -> None:
        if isinstance(line, wire.JournalHeader):
            for market in line.markets:
                self._scales[market.symbol] = market.price_scale, market.qty_scale
            return
        request = line.request
        if isinstance(request, wire.Submit):
            if not is_child_id(request.client_id):
                self.foreign += 1
                return
            order = self._order(request.client_id)
            order.received.append(self._witness(line, request.client_id))
            order.request = order.request or request
        elif isinstance(request, wire.Firm) and is_child_id(request.client_id):
            firmed = self._order(request.client_id).firmed
            firmed.append((self._witness(line, request.client_id), line.ok))
        for state in line.orders:
            if is_child_id(state.client_id):
                order = self._order(state.client_id)
                order.state, order.state_witness = state, self._witness(line, state.client_id)
        for trade in line.trades:
            if is_child_id(trade.client_id):
                self._trade(trade, self._witness(line, trade.client_id))

    def _order(self, client_id: str) -> _Order:
        return self.orders.setdefault(client_id, _Order())

    def _witness(self, line: wire.JournalEntry, client_id: str) -> Witness:
        return Witness(f"journal:{self.venue}", line.seq, client_id, line.at_ns)

    def _trade(self, trade: wire.Trade, witness: Witness) -> None:
        price_scale, qty_scale = self._scales[trade.symbol]
        trades = self._order(trade.client_id).trades
        trades[trade.told_as or str(trade.trade_id)] = (
            from_units(trade.qty, qty_scale),
            from_units(trade.price, price_scale),
            trade.fee,
            witness,
        )

    def _wrong(self, promise: int, code: str, child_id: str, text: str, *witnesses: Witness | None) -> None:
        self._findings.add(promise, code, f"child {child_id} at {self.venue}: {text}", *witnesses)

    def ended_ns(self, child_id: str) -> int | None:
        """When the order of that child ended; None where it works, or was never here."""
        order = self.orders.get(child_id)
        if order is None or order.state is None or order.state_witness is None:
            return None
        return None if order.state.state is wire.State.OPEN else order.state_witness.at_ns

    def finish(
        self,
        children: Mapping[str, ChildHistory],
        commands: Mapping[str, Command],
        *,
        truncated: bool,
        complete: bool,
    ) -> None:
        # A venue's journal is read after the streams: what was sent since then is not in them yet.
        known_until = max((c.submitting.at for c in children.values() if c.submitting is not None), default=0)
        for child_id, order in self.orders.items():
            child = children.get(child_id)
            if len(order.received) > 1:
                self._wrong(4, "received_twice", child_id, "the venue got it twice", *order.received)
            if child is None or (child.submitting is None and not child.partial):
                sent_since = not complete and all(w.at_ns >= known_until for w in order.received)
                if not truncated and not sent_since:
                    text = "the venue has it, but nothing was written down before it was sent"
                    self._wrong(4, "not_written_before_send", child_id, text, *order.received)
                continue
            self._as_written(child, order)
            self._firmed_as_written(child, order)
            self._in_time(child_id, order, commands.get(child_id))
            self._trades_agree(child, order, complete=complete)
            self._ends_agree(child, order)
        for child_id, child in children.items():
            if child_id not in self.orders and (child.accepted or child.trades):
                self._wrong(5, "never_received", child_id, "at work, but the venue never got it", child.last)

    def _as_written(self, child: ChildHistory, order: _Order) -> None:
        """What the venue got is what had been written down, and not before that."""
        sent, got, witness = child.submitting, order.request, child.submitting_witness
        if sent is None or got is None or witness is None:
            return
        written_ns, received = stored_ns(sent.at, witness), order.received[0]
        if received.at_ns < written_ns - LATENCY_ALLOWANCE_NS:
            text = f"the venue has it since {rfc3339(received.at_ns)}, written down at {rfc3339(written_ns)}"
            self._wrong(4, "not_written_before_send", child.child_id, text, received, witness)
        if got.conditional != sent.conditional:
            text = f"the venue got it {'not ' * (not got.conditional)}conditional, written down otherwise"
            self._wrong(4, "received_differs", child.child_id, text, witness, received)
        scales = self._scales.get(got.symbol)
        if scales is None:
            return
        terms = got.side, got.tif, from_units(got.price, scales[0]), from_units(got.qty, scales[1])
        if terms != (sent.side, sent.tif, sent.price, sent.qty):
            text = f"the venue got {got.side} {terms[3]} at {terms[2]} {got.tif}, written down: {show_order(sent)}"
            self._wrong(4, "received_differs", child.child_id, text, witness, received)

    def _firmed_as_written(self, child: ChildHistory, order: _Order) -> None:
        """Each firm-up has its own invitation, was written down before, and left in time."""
        if child.partial:
            return
        for number, (received, done) in enumerate(order.firmed):
            if number >= len(child.firmed_up):
                known = order.firmed[0][0] if number else child.last
                text = f"firmed up {number + 1} times, {len(child.firmed_up)} written down"
                self._wrong(4, "firmed_twice", child.child_id, text, known, received)
                continue
            event, witness = child.firmed_up[number]
            written_ns = stored_ns(event.at, witness)
            if received.at_ns < written_ns - LATENCY_ALLOWANCE_NS:
                text = f"firmed up at {rfc3339(received.at_ns)}, written down at {rfc3339(written_ns)}"
                self._wrong(4, "not_written_before_send", child.child_id, text, received, witness)
            late = event.deadline is not None and received.at_ns > event.deadline + self._allowance_ns
            if late and done:
                text = f"firmed up at {rfc3339(received.at_ns)}, was to leave until {event.deadline}"
                self._wrong(8, "received_stale", child.child_id, text, witness, received)

    def _in_time(self, child_id: str, order: _Order, command: Command | None) -> None:
        if command is None or not order.received or order.state is None:
            return
        expires_at, received = command.message.expires_at, order.received[0]
        if order.state.state is wire.State.REJECTED or received.at_ns <= expires_at + self._allowance_ns:
            return
        text = f"reached the venue at {rfc3339(received.at_ns)}, expired at {expires_at}"
        self._wrong(8, "received_stale", child_id, text, command.witness, received)

    def _trades_agree(self, child: ChildHistory, order: _Order, *, complete: bool) -> None:
        """Each trade has exactly one fill, and each fill one trade. A fill of a child at work may be on its way."""
        told = [order.trades[trade_id][3].at_ns for trade_id in child.trades if trade_id in order.trades]
        told_until = max(told, default=0)
        for trade_id, (qty, price, fee, witness) in order.trades.items():
            fill = child.trades.get(trade_id)
            if fill is None:
                if complete or child.end is not None or witness.at_ns < told_until - PULLED_NS:
                    text = f"trade {trade_id} of {qty} at {price} has no fill"
                    self._wrong(6, "fill_missing", child.child_id, text, witness, child.last)
            elif (fill.qty, fill.price, fill.fee) != (qty, price, fee):
                text = (
                    f"trade {trade_id} was {qty} at {price}, fee {fee}; "
                    f"its fill says {fill.qty} at {fill.price}, fee {fill.fee}"
                )
                self._wrong(6, "fill_differs", child.child_id, text, witness, fill.witness)
        for trade_id, fill in child.trades.items():
            if trade_id not in order.trades:
                text = f"the venue knows no trade {trade_id}"
                self._wrong(6, "fill_invented", child.child_id, text, fill.witness)

    def _ends_agree(self, child: ChildHistory, order: _Order) -> None:
        end, state = child.end, order.state
        if end is None or state is None:
            return
        if state.state is wire.State.OPEN:
            text = "ended for us, but the venue is working it"
            self._wrong(5, "working_after_end", child.child_id, text, child.last, order.state_witness)
        elif isinstance(end, m.ExecRejected) and state.state is not wire.State.REJECTED:
            text = f"rejected for us, but the venue took it: {state.state}"
            self._wrong(
                5, "rejected_though_taken", child.child_id, text, child.end_witness, order.state_witness
            )
        scales = self._scales.get(state.symbol)
        if scales is not None and from_units(state.cum_qty, scales[1]) != end.cum_qty:
            text = f"ended with {end.cum_qty} filled, the venue says {from_units(state.cum_qty, scales[1])}"
            self._wrong(6, "venue_sum_differs", child.child_id, text, child.end_witness, order.state_witness)


def read_journals(
    findings: Findings,
    journals: Mapping[str, Iterable[wire.JournalLine]],
) -> dict[str, VenueJournal]:
    """Read every journal through; `finish` is called when the streams are known too."""
    found = {}
    for venue, lines in journals.items():
        journal = found[venue] = VenueJournal(findings, venue)
        for line in lines:
            journal.take(line)
    return found
