"""A scenario: orders on a window of a market, under a configuration and a seed; and what became of them.

One scenario is one `VirtualSession`, the live pipeline on virtual time. Two orders of one scenario disturb each other
as they would live; orders that are to be compared stand in scenarios of their own, on the same window.

What is left of an order at its end is priced as if it were taken from the books of that moment, fees included: an
order that fills little would otherwise look cheap. Where a venue's prices are compared less a basis, so are its
fills.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import Any

import msgspec

from bestex import config as configuration
from bestex import messages as m
from bestex.clock import MINUTE, SECOND
from bestex.config import Config
from bestex.errors import BestexError
from bestex.execution import Summary
from bestex.instruments import FEE_SCALE, Instrument
from bestex.ladder import Ladder
from bestex.shortfall import Shortfall, bps, shortfall
from bestex.units import EXACT, from_units
from services.backtester.lab.windows import Window
from services.backtester.session import VirtualSession

ENDING_NS = MINUTE  # what a cancelled order may take to end; a second is much, and one that has not is lost
LOOK_NS = SECOND  # how often to look whether all has ended
CONFIGS_KEPT = 16  # parsed configurations; a worker sees one, or one for each candidate of a comparison


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """An order and when it is published. With an `end_by_ns` what is at work then is cancelled; the window's end is
    the last time for all."""

    order: m.ParentOrder
    at_ns: int
    end_by_ns: int = 0


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """`config_text`: a whole configuration without recordings, such as `Dataset.config_text`. Between the window's
    begin and the first order the services warm up."""

    window: Window
    placed: tuple[Placed, ...]
    config_text: str
    seed: int = 0


class Priced(msgspec.Struct, frozen=True, kw_only=True):
    """A quantity as if taken from the books of a moment: `notional` at prices less their basis and `fees`, in quote;
    `beyond`, in base, is what no book showed, priced at the last level."""

    qty: Decimal
    notional: Decimal
    fees: Decimal
    beyond: Decimal


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one order. Prices in quote, None where there was no book.

    `refused` is the code of an order that was not accepted, which has nothing else. `decision_mid` is the mid of all
    venues when the order was published, `end_mid` that when it ended; `basis_paid` the sum over the fills of quantity
    times the venue's basis, in quote: what their prices are above those that venues are compared at. `left`: what was
    not filled, None where all was, or where no book said what it is worth.
    """

    parent_id: str
    refused: str = ""
    text: str = ""
    summary: Summary | None = None
    decision_mid: Decimal | None = None
    end_mid: Decimal | None = None
    basis_paid: Decimal = Decimal(0)
    left: Priced | None = None


def run(scenario: Scenario, attach: Callable[[VirtualSession], None] | None = None) -> list[Outcome]:
    """In the order of `placed`. ConfigError and RecordingError as ever; BestexError where an order does not end.

    `attach` gets the session before it begins, to listen to it.
    """
    window = scenario.window
    session = VirtualSession(
        config_of(scenario.config_text),
        start_ns=window.begin_ns,
        seed=scenario.seed,
        recordings=window.files or None,
    )
    if attach is not None:
        attach(session)
    watch = Watch(session)
    ids = []
    for placed in scenario.placed:
        parent_id = session.submit(placed.order, placed.at_ns)
        watch.decide(parent_id, placed.order.symbol, placed.at_ns)
        session.cancel(parent_id, min(placed.end_by_ns or window.end_ns, window.end_ns), "the scenario ends")
        ids.append(parent_id)
    until_ns = window.end_ns + ENDING_NS
    while not watch.have_ended(ids) and session.now_ns < until_ns:
        session.run(min(session.now_ns + LOOK_NS, until_ns))
    if not watch.have_ended(ids):
        raise BestexError(f"an order had not ended {ENDING_NS // SECOND} s after it was cancelled")
    return [watch.outcome(parent_id) for parent_id in ids]


@lru_cache(CONFIGS_KEPT)
def config_of(text: str) -> Config:
    return configuration.parse(text, "the scenario's configuration")


def cost(outcome: Outcome) -> Shortfall | None:
    """Against the mid when the order was decided on, less the basis of where it traded; what is left is taken at the
    end. None where the order was refused, or where no book said what it, or what is left of it, was worth."""
    summary, decision, left = outcome.summary, outcome.decision_mid, outcome.left
    if summary is None or not decision:
        return None
    filled, qty = summary.total_quantity, summary.order_quantity
    if filled < qty and left is None:
        return None
    with localcontext(EXACT):
        paid = sum((fill.quantity * fill.fill_price for fill in summary.fills), Decimal(0))
        fees = summary.total_commission + (Decimal(0) if left is None else left.fees)
        return shortfall(
            summary.side,
            qty,
            filled,
            paid - outcome.basis_paid,
            fees,
            arrival=decision,
            rest=None if left is None else left.notional,
        )


def cost_bps(outcome: Outcome) -> float | None:
    """The whole of `cost` in basis points of the quantity at the decision's mid; positive is worse for us."""
    found = cost(outcome)
    if found is None or outcome.summary is None or outcome.decision_mid is None:
        return None
    with localcontext(EXACT):
        value = outcome.summary.order_quantity * outcome.decision_mid
    return bps(found.total, value)


class Watch:
    """Hears the books of a session, and keeps what they were when orders were decided on, filled and ended."""

    def __init__(self, session: VirtualSession) -> None:
        self._session = session
        self._instruments = session.config.make_instruments().by_symbol
        self._books: dict[str, m.ConsolidatedBook] = {}
        self._decided: dict[str, m.ConsolidatedBook | None] = {}
        self._ended: dict[str, m.ParentDone | m.ParentRejected] = {}
        self._at_end: dict[str, m.ConsolidatedBook | None] = {}
        self._basis: dict[str, Decimal] = {}
        self._looked = 0
        session.world.listeners.append(self._hear)

    def decide(self, parent_id: str, symbol: str, at_ns: int) -> None:
        """That order is decided on then."""

        def look() -> None:
            self._decided[parent_id] = self._books.get(symbol)

        self._session.world.at(at_ns, look)

    def have_ended(self, parent_ids: list[str]) -> bool:
        self._look()
        return all(parent_id in self._ended for parent_id in parent_ids)

    def _hear(self, _: str, message: Any) -> None:
        if isinstance(message, m.ConsolidatedBook):
            self._look()  # what was stored before this book was done on the one before it
            self._books[message.symbol] = message

    def _look(self) -> None:
        stored = self._session.world.stored
        for one in stored[self._looked :]:
            event = one.message
            if isinstance(event, m.Fill):
                self._pay_basis(event)
            elif isinstance(event, m.ParentDone) or (
                isinstance(event, m.ParentRejected) and event.request == "new"
            ):
                self._ended[event.parent_id] = event
                self._at_end[event.parent_id] = self._books.get(event.symbol)
        self._looked = len(stored)

    def _pay_basis(self, fill: m.Fill) -> None:
        book = self._books.get(fill.symbol)
        if book is None:
            return
        basis = next((column.basis for column in book.venues if column.venue == fill.venue), 0)
        with localcontext(EXACT):
            paid = fill.qty * from_units(basis, book.price_scale)
            self._basis[fill.parent_id] = self._basis.get(fill.parent_id, Decimal(0)) + paid

    def outcome(self, parent_id: str) -> Outcome:
        """Of one that has ended."""
        ended = self._ended[parent_id]
        if isinstance(ended, m.ParentRejected):
            return Outcome(parent_id=parent_id, refused=str(ended.code), text=ended.text)
        summary = self._session.execution(parent_id).summary()
        last, left = self._at_end[parent_id], summary.order_quantity - summary.total_quantity
        return Outcome(
            parent_id=parent_id,
            text=summary.text,
            summary=summary,
            decision_mid=_mid(self._decided.get(parent_id)),
            end_mid=_mid(last),
            basis_paid=self._basis.get(parent_id, Decimal(0)),
            left=_taken(last, self._instruments[summary.symbol], summary.side, left) if left > 0 else None,
        )


def _mid(book: m.ConsolidatedBook | None) -> Decimal | None:
    double_mid = None if book is None else Ladder(book).mid_half_units
    return None if book is None or double_mid is None else from_units(double_mid, book.price_scale) / 2


def _taken(
    book: m.ConsolidatedBook | None, instrument: Instrument, side: m.Side, qty: Decimal
) -> Priced | None:
    """The cheapest levels net of fees, one after another. None where no book shows any."""
    if book is None:
        return None
    fees = {listing.venue: listing.taker_fee_e8 for listing in instrument.listings}
    levels = Ladder(book).levels(side, fees)
    if not levels:
        return None
    wanted = rest = instrument.qty_units(qty)
    notional = paid_e8 = 0
    for level in levels:
        part = min(level.qty, rest)
        notional += part * level.price
        paid_e8 += part * level.own_price * fees[book.venues[level.venue].venue]
        rest -= part
        if not rest:
            break
    worst = levels[-1]
    notional += rest * worst.price
    paid_e8 += rest * worst.own_price * fees[book.venues[worst.venue].venue]
    scale = book.price_scale + book.qty_scale
    assert wanted >= rest >= 0, "no more is priced than was left"
    return Priced(
        qty=qty,
        notional=from_units(notional, scale),
        fees=from_units(paid_e8, scale + FEE_SCALE),
        beyond=instrument.qty(rest),
    )
