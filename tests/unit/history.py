"""A small correct history, as the streams would hold it: one resting and two crossing children, one cancel."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal as D
from typing import Any

import msgspec

from bestex import codec, subjects
from bestex import messages as m
from bestex import sim_wire as wire
from bestex.audit import Record
from bestex.clock import MS, SECOND, Time
from bestex.errors import Code
from bestex.ids import child_id
from bestex.instruments import Listing
from bestex.messages import Side, Tif
from bestex.subjects import stream_of

T0 = 1_750_000_000 * SECOND
SYMBOL = "BTC/USDT"
PARENT = "p1"
ID = {(s, d, n): child_id(SYMBOL, PARENT, s, d, n) for s in (1, 2) for d in (0, 1) for n in (0, 1)}
PRICE_SCALE, QTY_SCALE = 2, 5


def at(ms: int) -> Time:
    return Time(T0 + ms * MS)


def _parent(kind: Any, ms: int, cum: str, paid: str = "0", whole: str = "3", /, **more: Any) -> Any:
    average = D(paid) / D(cum) if D(cum) else None
    base = {"symbol": SYMBOL, "parent_id": PARENT, "at": at(ms)}
    return kind(**base, cum_qty=D(cum), leaves_qty=D(whole) - D(cum), avg_px=average, **more)


def _sliced(ms: int, number: int, qty: str, cum: str, paid: str, whole: str) -> m.ParentSliced:
    event: m.ParentSliced = _parent(
        m.ParentSliced,
        ms,
        cum,
        paid,
        whole,
        slice_no=number,
        side=Side.BUY,
        qty=D(qty),
        due_at=at(ms),
        expires_at=at(ms + 6000),
        limit_price=D("101"),
        algo="twap",
    )
    return event


def _decided(
    kind: Any, ms: int, number: int, decision: int, qty: str, *legs: tuple[str, str, str, Tif]
) -> Any:
    return kind(
        symbol=SYMBOL,
        parent_id=PARENT,
        slice_no=number,
        at=at(ms),
        decision_no=decision,
        side=Side.BUY,
        qty=D(qty),
        strategy="sweep",
        legs=[
            m.Leg(child_id=ID[number, decision, i], venue=venue, qty=D(leg), price=D(price), tif=tif)
            for i, (venue, leg, price, tif) in enumerate(legs)
        ],
        expires_at=at(ms + 2000),
        good_till=at(ms + 5000),
        mid_px=D("100"),
        book_at=at(ms - 5),
        algo="twap",
    )


def _children(ms: int, decision: m.RouteDecided) -> list[tuple[str, int, Any]]:
    return [
        (
            subjects.child(leg.venue, SYMBOL, leg.child_id, "new"),
            ms,
            m.ChildNew(
                child_id=leg.child_id,
                parent_id=PARENT,
                slice_no=decision.slice_no,
                venue=leg.venue,
                symbol=SYMBOL,
                side=decision.side,
                qty=leg.qty,
                price=leg.price,
                tif=leg.tif,
                expires_at=decision.expires_at,
                good_till=decision.good_till,
                algo=decision.algo,
            ),
        )
        for leg in decision.legs
    ]


def _exec(kind: Any, ms: int, leg: m.Leg, number: int, **more: Any) -> tuple[str, int, Any]:
    event = kind(
        venue=leg.venue,
        symbol=SYMBOL,
        child_id=leg.child_id,
        parent_id=PARENT,
        slice_no=number,
        at=at(ms),
        **more,
    )
    return subjects.execution(leg.venue, SYMBOL, leg.child_id, subjects.event_name(event)), ms, event


def _submitting(ms: int, leg: m.Leg, number: int, good_till: Time) -> tuple[str, int, Any]:
    terms = {"side": Side.BUY, "qty": leg.qty, "price": leg.price, "tif": leg.tif}
    return _exec(
        m.ExecSubmitting,
        ms,
        leg,
        number,
        token="t",
        deadline=at(min(ms + 2000, (good_till - T0) // MS - 3000)),
        good_till=good_till,
        algo="twap",
        **terms,
    )


def _fill(ms: int, leg: m.Leg, number: int, trade: str, qty: str, price: str) -> tuple[str, int, Any]:
    fill = m.Fill(
        fill_id=f"{trade}-{leg.child_id}",
        trade_id=trade,
        venue=leg.venue,
        symbol=SYMBOL,
        child_id=leg.child_id,
        parent_id=PARENT,
        slice_no=number,
        side=Side.BUY,
        qty=D(qty),
        price=D(price),
        fee=D(qty) * D(price) / 1000,
        fee_currency="USDT",
        liquidity="taker",
        venue_at=at(ms),
        at=at(ms),
    )
    return subjects.fill(leg.venue, SYMBOL, fill.fill_id), ms, fill


def _sums(*fills: tuple[str, str]) -> dict[str, Any]:
    notional = sum((D(qty) * D(price) for qty, price in fills), D(0))
    filled = sum((D(qty) for qty, _ in fills), D(0))
    return {"cum_qty": filled, "notional": notional, "fees": notional / 1000}


def events() -> list[tuple[str, int, Any]]:
    """(subject, milliseconds, message) in the order of time.

    3 are bought: a slice of 2 over two venues, of which one child fills 0.4 of 1 and the rest is routed again;
    the order is paused, resumed and modified to 2.5; a second slice of 0.5 rests and is cancelled with it.
    """
    order = m.ParentOrder(symbol=SYMBOL, side=Side.BUY, qty=D(3), algo="twap", parent_id=PARENT)
    smaller = m.ParentOrder(symbol=SYMBOL, side=Side.BUY, qty=D("2.5"), algo="twap", parent_id=PARENT)
    first = _decided(
        m.RouteDecided, 20, 1, 0, "2", ("sim_a", "1", "100.5", Tif.IOC), ("sim_b", "1", "100.7", Tif.IOC)
    )
    again = _decided(m.RouteRerouted, 60, 1, 1, "0.6", ("sim_a", "0.6", "101", Tif.IOC))
    resting = _decided(m.RouteDecided, 140, 2, 0, "0.5", ("sim_a", "0.5", "99", Tif.GTC))
    a, b, c, d = first.legs[0], first.legs[1], again.legs[0], resting.legs[0]
    a_fills, b_fills = [("0.6", "100.1"), ("0.4", "100.3")], [("0.4", "100.6")]
    c_fills = [("0.6", "100.9")]
    one = _sums(*a_fills, *b_fills, *c_fills)
    slice_one: dict[str, Any] = {
        "filled_qty": one["cum_qty"],
        "notional": one["notional"],
        "fees": one["fees"],
    }
    nothing: dict[str, Any] = {"filled_qty": D(0), "notional": D(0), "fees": D(0)}
    notional = str(one["notional"])

    def parent(event: Any) -> tuple[str, int, Any]:
        name = subjects.event_name(event)
        return subjects.parent(SYMBOL, PARENT, name), (event.at - T0) // MS, event

    def route(event: Any) -> tuple[str, int, Any]:
        name = subjects.event_name(event)
        return subjects.route(SYMBOL, PARENT, event.slice_no, name), (event.at - T0) // MS, event

    def user(verb: str, ms: int, body: Any) -> tuple[str, int, Any]:
        return subjects.order(verb, "twap", SYMBOL, "" if verb == "new" else PARENT), ms, body

    def end(kind: Any, ms: int, number: int, sums: dict[str, D], qty: str, reason: Code) -> Any:
        return kind(
            symbol=SYMBOL, parent_id=PARENT, slice_no=number, at=at(ms), qty=D(qty), reason=reason, **sums
        )

    return [
        user("new", 0, order),
        parent(
            _parent(m.ParentAccepted, 5, "0", order=order, order_seq=1, start_at=at(5), arrival_px=D("100"))
        ),
        parent(_sliced(10, 1, "2", "0", "0", "3")),
        route(first),
        *_children(22, first),
        _submitting(25, a, 1, first.good_till),
        _fill(30, a, 1, "1", *a_fills[0]),
        _fill(30, a, 1, "2", *a_fills[1]),
        _exec(m.ExecFilled, 31, a, 1, **_sums(*a_fills)),
        _submitting(26, b, 1, first.good_till),
        _exec(m.ExecUnknown, 28, b, 1, code=Code.TIMEOUT, text="no answer"),
        _exec(m.ExecAccepted, 40, b, 1, venue_order_id="2"),
        _fill(45, b, 1, "3", *b_fills[0]),
        _exec(m.ExecExpired, 50, b, 1, **_sums(*b_fills)),
        route(again),
        *_children(62, again),
        _submitting(65, c, 1, again.good_till),
        _fill(70, c, 1, "4", *c_fills[0]),
        _exec(m.ExecFilled, 71, c, 1, **_sums(*c_fills)),
        route(end(m.RouteDone, 75, 1, slice_one, "2", Code.FILLED)),
        parent(_parent(m.ParentSettled, 80, "2", notional, slice_no=1, reason=Code.FILLED, **slice_one)),
        user("pause", 85, m.PauseOrder()),
        parent(_parent(m.ParentPaused, 90, "2", notional, order_seq=2)),
        user("resume", 95, m.ResumeOrder()),
        parent(_parent(m.ParentResumed, 100, "2", notional, order_seq=3)),
        user("modify", 105, m.ModifyOrder(qty=D("2.5"))),
        parent(_parent(m.ParentModified, 110, "2", notional, "2.5", order_seq=4, order=smaller)),
        parent(_sliced(130, 2, "0.5", "2", notional, "2.5")),
        route(resting),
        *_children(142, resting),
        _submitting(145, d, 2, resting.good_till),
        _exec(m.ExecAccepted, 150, d, 2, venue_order_id="4"),
        user("cancel", 160, m.CancelOrder()),
        parent(_parent(m.ParentCanceling, 165, "2", notional, "2.5", order_seq=5)),
        parent(_parent(m.ParentRecalled, 166, "2", notional, "2.5", slice_no=2, reason=Code.CANCELED)),
        route(
            m.RouteRecalled(
                symbol=SYMBOL,
                parent_id=PARENT,
                slice_no=2,
                at=at(170),
                reason=Code.CANCELED,
                children=[d.child_id],
            )
        ),
        (
            subjects.child(d.venue, SYMBOL, d.child_id, "cancel"),
            172,
            m.ChildCancel(
                child_id=d.child_id, parent_id=PARENT, venue=d.venue, symbol=SYMBOL, reason=Code.CANCELED
            ),
        ),
        _exec(m.ExecCanceling, 175, d, 2, reason=Code.CANCELED),
        _exec(m.ExecCanceled, 180, d, 2, code=Code.CANCELED),
        route(end(m.RouteDone, 185, 2, nothing, "0.5", Code.CANCELED)),
        parent(
            _parent(m.ParentSettled, 190, "2", notional, "2.5", slice_no=2, reason=Code.CANCELED, **nothing)
        ),
        parent(
            _parent(
                m.ParentDone,
                195,
                "2",
                notional,
                "2.5",
                reason=Code.CANCELED,
                notional=one["notional"],
                fees=one["fees"],
            )
        ),
    ]


def records(history: Iterable[tuple[str, int, Any]]) -> list[Record]:
    """Numbered by stream, as the bus would."""
    seqs: dict[str, int] = {}
    made = []
    for subject, ms, message in history:
        stream = stream_of(subject)
        seqs[stream] = seqs.get(stream, 0) + 1
        made.append(Record(stream, seqs[stream], subject, T0 + ms * MS, codec.to_json(message)))
    return made


def journals(history: Iterable[tuple[str, int, Any]]) -> dict[str, list[wire.JournalLine]]:
    """What the venues of that history wrote down themselves."""
    lines: dict[str, list[wire.JournalLine]] = {}
    states: dict[str, wire.OrderState] = {}
    for venue in ("sim_a", "sim_b"):
        listing = Listing(venue=venue, symbol=SYMBOL)
        market = wire.MarketInfo(
            venue=venue,
            symbol=SYMBOL,
            instrument=SYMBOL,
            price_scale=PRICE_SCALE,
            qty_scale=QTY_SCALE,
            listing=listing,
        )
        lines[venue] = [wire.JournalHeader(at_ns=T0, venue=venue, markets=[market])]

    def put(message: Any, **more: Any) -> None:
        journal = lines[message.venue]
        journal.append(
            wire.JournalEntry(seq=len(journal), at_ns=message.at + MS, venue=message.venue, **more)
        )

    for _, _, message in history:
        if isinstance(message, m.ExecSubmitting):
            units: Any = {
                "qty": int(message.qty * 10**QTY_SCALE),
                "price": int(message.price * 10**PRICE_SCALE),
            }
            state = wire.OrderState(
                venue=message.venue,
                symbol=SYMBOL,
                account="default",
                client_id=message.child_id,
                order_id=1,
                side=message.side,
                tif=message.tif,
                state=wire.State.OPEN,
                created_ns=message.at,
                updated_ns=message.at,
                **units,
            )
            states[message.child_id] = state
            request = wire.Submit(
                venue=message.venue,
                symbol=SYMBOL,
                client_id=message.child_id,
                side=message.side,
                tif=message.tif,
                **units,
            )
            put(message, request=request, orders=[state])
        elif isinstance(message, m.Fill):
            trade = wire.Trade(
                venue=message.venue,
                symbol=SYMBOL,
                trade_id=int(message.trade_id),
                account="default",
                client_id=message.child_id,
                order_id=1,
                side=message.side,
                price=int(message.price * 10**PRICE_SCALE),
                qty=int(message.qty * 10**QTY_SCALE),
                fee=message.fee,
                fee_currency="USDT",
                liquidity="taker",
                at_ns=message.venue_at,
            )
            put(message, trades=[trade])
        elif isinstance(message, m.ExecEnded):
            ended = wire.State(subjects.event_name(message))
            cum = int(message.cum_qty * 10**QTY_SCALE)
            put(message, orders=[msgspec.structs.replace(states[message.child_id], state=ended, cum_qty=cum)])
    return lines
