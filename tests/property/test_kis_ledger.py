"""Whatever becomes of KIS's notices, and whenever it is asked or we begin anew: every share is counted once."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bestex.clock import SECOND
from bestex.messages import Side
from services.gateway import port as p
from services.gateway.venues.kis.ledger import Ledger, Note
from tests.unit.gateway.kis_rows import MARKET, OPEN_NS, ledger, name, query, row

QTY = 1_000
FILLS = st.tuples(st.integers(1, 9), st.integers(69_000, 71_000))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("fill"), FILLS, st.sampled_from(["told", "lost", "doubled", "late"])),
        st.tuples(st.just("ask")),
        st.tuples(st.just("restart")),
        st.tuples(st.just("amend")),
    ),
    max_size=40,
)


class Gateway:
    """The core's count, and a ledger that may be lost."""

    def __init__(self) -> None:
        self.trades: dict[str, p.VenueFill] = {}
        self.number = 1
        self.ledger: Ledger = ledger()
        self.ledger.accepted("c1", MARKET, Side.BUY, name(1))
        self.rows: list[dict[str, Any]] = [{"qty": QTY, "filled": 0, "amount": 0}]
        self.late: list[Note] = []

    @property
    def cum(self) -> int:
        return sum(fill.qty for fill in self.trades.values())

    @property
    def notional(self) -> int:
        return sum(fill.qty * fill.price for fill in self.trades.values())

    def trade(self, qty: int, price: int, notice: str) -> None:
        at_work = self.rows[-1]
        at_work["filled"] += qty
        at_work["amount"] += qty * price
        note = Note(qty, price, OPEN_NS)
        number = name(len(self.rows))
        for _ in range({"told": 1, "doubled": 2}.get(notice, 0)):
            self.ledger.noted(number, note)
        if notice == "late":
            self.late.append(note)

    def ask(self) -> list[Any]:
        last = len(self.rows)
        rows = [
            row(i, of=i - 1, left=one["qty"] - one["filled"] if i == last else 0, **one)
            for i, one in enumerate(self.rows, 1)
        ]
        asked = query(
            "c1", venue_order_id=name(self.number), qty=QTY, cum_qty=self.cum, notional=self.notional
        )
        self.ledger.adopt(asked, MARKET, OPEN_NS)
        known = self.ledger.order("c1")
        assert known is not None
        said = self.ledger.say(known, self.ledger.chain(known, rows), rows, OPEN_NS + SECOND)
        for one in said:
            if isinstance(one, p.VenueFill):
                assert one.trade_id not in self.trades, "two trades of one id"
                self.trades[one.trade_id] = one
        self.number = int(known.last_id.rpartition("-")[2])
        for note in self.late:
            self.ledger.noted(known.last_id, note)
        self.late.clear()
        return list(said)

    def restart(self) -> None:
        self.ledger = ledger()

    def amend(self) -> None:
        """Its answer is lost: the next list tells of it."""
        left = self.rows[-1]["qty"] - self.rows[-1]["filled"]
        self.rows.append({"qty": left, "filled": 0, "amount": 0})


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_every_share_is_counted_once_and_for_what_it_cost(steps: list[Any]) -> None:
    gateway = Gateway()
    for kind, *rest in steps:
        if kind == "fill":
            (qty, price), notice = rest
            gateway.trade(qty, price, notice)
        elif kind == "ask":
            gateway.ask()
        elif kind == "restart":
            gateway.restart()
        else:
            gateway.amend()
    stands = gateway.ask()[-1]
    filled = sum(one["filled"] for one in gateway.rows)
    assert gateway.cum == stands.cum_qty == filled
    assert gateway.notional == sum(one["amount"] for one in gateway.rows)
    assert (stands.qty, stands.venue_order_id) == (QTY, name(len(gateway.rows)))
