"""One child's life, step by step: whatever is commanded, said, delayed, doubled, lost or killed, in any order.

`Venue` is the truth. Hypothesis moves requests there and words back, one at a time, and breaks in between.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bestex import messages as m
from bestex.clock import MS, SECOND, Time
from bestex.errors import Code
from bestex.messages import Tif
from services.gateway import port as p
from services.gateway.chase import ABSENCE_MARGIN_NS
from services.gateway.orders import Status
from tests.unit.gateway.bench import START, SYMBOL, VENUE, Bench, child_cancel, child_new

ID = "c1"
FATES = ["arrives", "arrives", "answer lost", "lost", "slow", "slow", "refused"]
ROUNDS_MAX = 5  # of questions that follow from answers at one moment
QUIET_S_MAX = 400  # far longer than any order of these lives, and than any pause between questions


@dataclass
class Venue:
    """What one venue truly has of one order. `refused` and `state` are final once they are set."""

    now: int = START
    order: p.Submit | None = None
    qty: int = 0
    price: int = 0
    state: str = ""
    trades: list[p.VenueFill] = field(default_factory=list)
    words: list[tuple[Any, ...]] = field(default_factory=list)  # on their way; one answer stays together

    @property
    def is_open(self) -> bool:
        return self.state == "open"

    @property
    def cum(self) -> int:
        return sum(trade.qty for trade in self.trades)

    def say(self, *words: Any) -> None:
        self.words.append(words)

    def take(self, order: p.Submit) -> None:
        assert self.order is None, "the venue got it twice"
        self.order, self.qty, self.price, self.state = order, order.qty, order.price, "open"

    def trade(self, share: int) -> None:
        qty = max(1, (self.qty - self.cum) * share // 100)
        number = len(self.trades) + 1
        terms = {"price": self.price - number, "qty": qty, "fee": Decimal(number), "venue_ns": self.now}
        self.trades.append(
            p.VenueFill(child_id=ID, trade_id=str(number), venue_order_id="v1", **terms)  # type: ignore[arg-type]
        )
        self.say(self.trades[-1])
        if self.cum == self.qty:
            self.close("filled")

    def close(self, how: str) -> None:
        self.state = how
        self.say(self.standing())

    def standing(self, asked_ns: int = 0) -> Any:
        if self.is_open:
            terms: dict[str, Any] = {
                "asked_ns": asked_ns,
                "cum_qty": self.cum,
                "qty": self.qty,
                "price": self.price,
            }
            return p.VenueAccepted(child_id=ID, venue_order_id="v1", **terms)
        return p.VenueClosed(child_id=ID, how=self.state, cum_qty=self.cum)  # type: ignore[arg-type]

    def answer(self, request: Any) -> None:
        """Anything but a submission, answered by the truth of now."""
        match request:
            case p.Cancel() if self.is_open:
                self.close("canceled")
            case p.Cancel():
                self.say(p.VenueCancelRejected(child_id=ID, code=Code.UNKNOWN_ORDER, text="no"))
            case p.Replace() if self.is_open and request.qty > self.cum and self.now < request.deadline_ns:
                self.qty, self.price = request.qty, request.price
                terms = {"venue_order_id": "v1", "qty": self.qty, "price": self.price, "asked_ns": self.now}
                self.say(p.VenueReplaced(child_id=ID, **terms))  # type: ignore[arg-type]
            case p.Replace():
                no = p.VenueReplaceRejected(child_id=ID, code=Code.TOO_LATE, text="no", asked_ns=self.now)
                self.say(no)
            case p.QueryOrder():
                self.say(*self.found(request))
            case p.PullFills():
                self.say(*self.trades, p.VenuePulled(VENUE, self.now))
            case p.MassStatus():
                found = [word for query in request.orders for word in self.found(query)]
                self.say(*self.trades, *found, p.SessionState(VENUE, p.Session.RECONCILED))

    def found(self, query: p.QueryOrder) -> list[Any]:
        lists = query.endpoint is p.Endpoint.LISTS
        trades = self.trades if lists else []
        if self.order is None or (lists and not self.is_open):
            return [*trades, p.VenueAbsent(child_id=ID, endpoint=query.endpoint, asked_ns=self.now)]
        return [*trades, self.standing(self.now)]


class ChildLife(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench().ready()
        self.venue = Venue()
        self.requests: list[Any] = []  # asked, and not at the venue yet
        self.slow: p.Submit | None = None  # given up here, and still travelling
        self.sends = 0

    @initialize(tif=st.sampled_from([Tif.IOC, Tif.GTC]), overtaken=st.integers(0, 9))
    def begin(self, tif: Tif, overtaken: int) -> None:
        """Once in a while a cancel has overtaken its order in a redelivery."""
        self.command = child_new(ID, tif=tif, good_till=Time(START + 30 * SECOND))
        if overtaken == 0:
            self.cancel()
        self.new()

    # -- commands, each as often as the bus likes ----------------------------------------------------------------

    @rule()
    def new(self) -> None:
        self.hear(self.command)

    @rule()
    def cancel(self) -> None:

        self.hear(child_cancel(ID))

    @rule(qty=st.sampled_from(["0.005", "0.02"]))
    def replace(self, qty: str) -> None:
        terms = {"qty": Decimal(qty), "price": Decimal(59_000), "expires_at": Time(self.bench.now + SECOND)}
        owner = {"child_id": ID, "parent_id": "p1", "venue": VENUE, "symbol": SYMBOL}
        self.hear(m.ChildReplace(**owner, **terms))  # type: ignore[arg-type]

    # -- the way there and back ----------------------------------------------------------------------------------

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), fate=st.sampled_from(FATES))
    def request_travels(self, data: st.DataObject, fate: str) -> None:
        request = self.requests.pop(data.draw(st.integers(0, len(self.requests) - 1)))
        words = len(self.venue.words)
        if isinstance(request, p.Submit):
            self.submit(request, fate)
        elif fate in ("arrives", "answer lost"):
            self.venue.answer(request)
            if fate == "answer lost":
                del self.venue.words[words:]

    def submit(self, request: p.Submit, fate: str) -> None:
        if self.bench.now >= request.deadline_ns:  # the desk's last look at the clock
            self.venue.say(p.VenueNotSent(child_id=ID, code=Code.EXPIRED, text="late"))
        elif fate == "refused":
            self.venue.say(p.VenueRejected(child_id=ID, code=Code.OFF_TICK, text="no"))
        elif fate == "arrives":
            self.arrive(request)
            self.venue.say(*self.venue.trades, self.venue.standing())
        else:
            if fate == "answer lost":
                self.arrive(request)
            self.slow = request if fate == "slow" else None
            self.venue.say(p.VenueUnknown(child_id=ID, code=Code.TIMEOUT, text=fate))

    def arrive(self, request: p.Submit) -> None:
        self.slow = None
        self.venue.take(request)

    @precondition(lambda self: self.slow)
    @rule()
    def slow_submission_arrives(self) -> None:
        assert self.slow is not None
        self.arrive(self.slow)

    @precondition(lambda self: self.venue.words)
    @rule(data=st.data(), again=st.booleans())
    def word_is_heard(self, data: st.DataObject, again: bool) -> None:
        i = data.draw(st.integers(0, len(self.venue.words) - 1))
        self.hear(*(self.venue.words[i] if again else self.venue.words.pop(i)))

    @rule()
    def all_questions_are_answered(self) -> None:
        for _ in range(ROUNDS_MAX):
            asked = [request for request in self.requests if not isinstance(request, p.Submit)]
            self.requests = [request for request in self.requests if isinstance(request, p.Submit)]
            for request in asked:
                self.venue.answer(request)
            while self.venue.words:
                self.hear(*self.venue.words.pop(0))

    # -- the venue's own will ------------------------------------------------------------------------------------

    @precondition(lambda self: self.venue.is_open)
    @rule(share=st.integers(1, 100))
    def trades(self, share: int) -> None:
        self.venue.trade(share)

    @precondition(lambda self: self.venue.is_open)
    @rule(how=st.sampled_from(["canceled", "expired"]))
    def closes(self, how: str) -> None:
        self.venue.close(how)

    @precondition(lambda self: ID in self.bench.core.memory.children)
    @rule(data=st.data())
    def contradicts(self, data: st.DataObject) -> None:
        """Words that are out of place but no false evidence."""
        said = {"child_id": ID, "code": Code.UNKNOWN_ORDER, "text": "out of place"}
        words: list[type[Any]] = [p.VenueCancelRejected, p.VenueUnanswered, p.VenueUnknown]
        if self.is_working():
            words.append(p.VenueRejected)
        self.hear(data.draw(st.sampled_from(words))(**said))

    @precondition(lambda self: self.venue.is_open and self.is_working())
    @rule()
    def one_endpoint_is_behind(self) -> None:
        """It does not know the order that the other one shows."""
        behind = p.VenueAbsent(child_id=ID, endpoint=p.Endpoint.ORDER, asked_ns=self.bench.now)
        self.hear(behind)

    def is_working(self) -> bool:
        child = self.bench.core.memory.children.get(ID)
        return child is not None and child.status is Status.WORKING

    # -- time and accidents --------------------------------------------------------------------------------------

    @rule(pause=st.sampled_from([10 * MS, 300 * MS, 3 * SECOND, 8 * SECOND]))
    def time_passes(self, pause: int) -> None:
        until = self.bench.now + pause
        if self.slow is not None and until >= self.slow.deadline_ns + ABSENCE_MARGIN_NS:
            self.arrive(self.slow)
        self.bench.sleep(pause)
        self.collect()

    @rule(data=st.data())
    def killed(self, data: st.DataObject) -> None:
        """What was asked and not sent is never sent; what was said and not heard is lost."""
        self.requests.clear()
        self.venue.words = [said for said in self.venue.words if isinstance(said[0], p.VenueFill)]
        before = dict(self.bench.core.memory.children)
        self.bench.crash(checkpoint_at=data.draw(st.integers(0, len(self.bench.journal))))
        after = dict(self.bench.core.memory.children)
        if all(child.status is not Status.UNKNOWN for child in after.values()):
            assert after == before, "the journal rebuilds the state exactly"
        self.reconnect()

    @rule()
    def reconnect(self) -> None:
        self.hear(p.SessionState(VENUE, p.Session.DOWN), p.SessionState(VENUE, p.Session.UP))

    def hear(self, *messages: Any) -> None:
        self.venue.now = self.bench.now
        self.bench.hear(*messages)
        self.collect()

    def collect(self) -> None:
        self.venue.now = self.bench.now
        self.sends += len([call for call in self.bench.calls if isinstance(call, p.Submit)])
        self.requests += self.bench.calls
        self.bench.calls.clear()

    # -- what must hold ------------------------------------------------------------------------------------------

    @invariant()
    def sent_at_most_once(self) -> None:
        assert self.sends <= 1
        assert self.bench.tags().count("submitting") <= 1

    @invariant()
    def sums_are_those_of_its_trades(self) -> None:
        fills = [event for event in self.bench.journal if isinstance(event, m.Fill)]
        assert len({fill.trade_id for fill in fills}) == len(fills)
        assert not any(fill.flag for fill in fills)
        for end in self.ends():
            assert end.cum_qty == sum(fill.qty for fill in fills)
            assert end.notional == sum(fill.qty * fill.price for fill in fills)
            assert end.fees == sum(fill.fee for fill in fills)

    @invariant()
    def ends_at_most_once_and_as_the_venue_knows(self) -> None:
        ends = self.ends()
        assert len(ends) <= 1
        for end in ends:
            assert not self.venue.is_open, "it ended here and works there"
            assert self.slow is None, "it ended here and may still arrive"
            if isinstance(end, m.ExecRejected):
                assert self.venue.order is None, f"rejected ({end.evidence}), and the venue took it"
            else:
                assert end.cum_qty * 10**5 == self.venue.cum

    @invariant()
    def all_that_may_still_fill_is_reserved(self) -> None:
        child = self.bench.core.memory.children.get(ID)
        may_fill = self.venue.qty if self.venue.is_open else self.slow.qty if self.slow else 0
        if may_fill:
            assert child is not None
            assert child.cum_qty + child.reserved >= may_fill

    def ends(self) -> list[m.ExecEnded]:
        return [event for event in self.bench.journal if isinstance(event, m.ExecEnded)]

    def teardown(self) -> None:
        """Everybody answers from now on: the child ends, and a cancel that was heard has been asked for."""
        self.reconnect()
        for _ in range(QUIET_S_MAX):
            while self.requests or self.venue.words:
                if self.venue.words:
                    self.hear(*self.venue.words.pop(0))
                elif isinstance(self.requests[0], p.Submit):
                    self.submit(self.requests.pop(0), "arrives")
                else:
                    self.venue.answer(self.requests.pop(0))
            if self.venue.is_open and self.venue.order is not None and self.venue.order.tif is Tif.IOC:
                self.venue.close("expired")
            elif not self.bench.core.memory.open[VENUE]:
                break
            else:
                self.time_passes(SECOND)
        self.ends_at_most_once_and_as_the_venue_knows()
        assert len(self.ends()) == bool(self.bench.journal)


ChildLife.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
test_one_childs_life = ChildLife.TestCase
