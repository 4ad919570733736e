"""What KIS checks before it takes an order, in its words, and its numbers for orders.

Every request gets a number of its own: an order, an amendment, a cancel. What is amended goes on under the new
number, and the old one's row says what had filled until then.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from bestex import sim_wire as w
from bestex.errors import Code
from bestex.messages import Side, Tif
from tests.emulators import kis_wire as wire
from tests.emulators.engine import Engine, Market
from tests.emulators.kis_wire import KRX, NXT, US, Json

# ORD_DVSN of domestic orders: how long, and whether it has a price. 14 and 21 (market FOK, mid) are not emulated.
KINDS: dict[str, tuple[Tif, bool]] = {
    "00": (Tif.GTC, True),
    "01": (Tif.IOC, False),
    "11": (Tif.IOC, True),
    "12": (Tif.FOK, True),
    "13": (Tif.IOC, False),
}
DIGITS = {KRX: 1, NXT: 2, US: 3}
REVISED_FROM = 5_000_000_000  # numbers of amendments and cancels; an order's own is made of the engine's id
TRADES_MAX = 1_000_000


class Refused(Exception):
    """A refusal of the broker's: an answer of status 200 whose rt_cd is not 0."""

    def __init__(self, code: str, text: str, status: int = 200, rt_cd: str = "1") -> None:
        super().__init__(text)
        self.code, self.text, self.status, self.rt_cd = code, text, status, rt_cd


@dataclass
class Link:
    """One number. `of` is the one it amends or cancels; `from_cum` what the order had filled when it began."""

    number: str
    of: str
    kind: str  # new, amend, cancel
    qty: Decimal
    price: Decimal
    from_cum: int
    at_ns: int
    ord_dvsn: str


class Numbers:
    """The numbers of one exchange's orders."""

    def __init__(self, exchange: str, engine: Engine) -> None:
        self.exchange, self.engine = exchange, engine
        self._links: dict[int, list[Link]] = {}
        self._owners: dict[str, int] = {}
        self._revised = 0

    def links(self, state: w.OrderState) -> list[Link]:
        known = self._links.get(state.order_id)
        if known is None:
            market = self.engine.markets[state.symbol]
            kind = {Tif.IOC: "11", Tif.FOK: "12"}.get(state.tif, "00")
            first = Link(
                f"{state.order_id * 10 + DIGITS[self.exchange]:010d}",
                "",
                "new",
                market.qty(state.qty),
                market.price(state.price),
                0,
                state.created_ns,
                "01" if state.kind == "market" else kind,
            )
            known = self._links[state.order_id] = [first]
            self._owners[first.number] = state.order_id
        return known

    def add(self, state: w.OrderState, kind: str, qty: Decimal, price: Decimal, at_ns: int) -> Link:
        links = self.links(state)
        self._revised += 1
        link = Link(
            f"{REVISED_FROM + self._revised * 10 + DIGITS[self.exchange]:010d}",
            working(links).number,
            kind,
            qty,
            price,
            state.cum_qty,
            at_ns,
            links[0].ord_dvsn,
        )
        links.append(link)
        self._owners[link.number] = state.order_id
        return link

    def drop(self, state: w.OrderState, link: Link) -> None:
        self._links[state.order_id].remove(link)
        del self._owners[link.number]

    def find(self, account: str, number: str) -> w.OrderState | None:
        """The order that has this number, or had it."""
        for state in self.engine.orders(account):
            self.links(state)
        order_id = self._owners.get(number.rjust(10, "0"))
        return None if order_id is None else self.engine.order(account, order_id=order_id)


def working(links: list[Link]) -> Link:
    """The number under which the order is at work."""
    return [link for link in links if link.kind != "cancel"][-1]


def find_market(exchange: str, engine: Engine, given: Json) -> Market:
    for market in engine.markets.values():
        if wire.code_of(market) == given.get("PDNO"):
            if exchange == US and given.get("OVRS_EXCG_CD") != wire.US_EXCHANGES[given["PDNO"]]:
                break
            return market
    raise Refused("APBK0656", "해당종목정보가 없습니다.", rt_cd="7")


def place(numbers: Numbers, account: str, given: Json, side: Side, *, virtual: bool) -> w.OrderState:
    exchange, engine = numbers.exchange, numbers.engine
    market = find_market(exchange, engine, given)
    kind = given.get("ORD_DVSN", "")
    if exchange == US:
        known = {"00": (Tif.GTC, True)}
        price_name = "OVRS_ORD_UNPR"
    else:
        known, price_name = KINDS, "ORD_UNPR"
    if kind not in known or (virtual and exchange != US and kind not in ("00", "01")):
        raise Refused("APBK1299", "주문구분을 확인하십시오.", rt_cd="7")
    tif, has_price = known[kind]
    qty = positive(given.get("ORD_QTY"), "APBK1201", "주문수량을 확인하십시오.")
    price = None
    if has_price:
        price = positive(given.get(price_name), "APBK1202", "주문단가를 확인하십시오.")
        if not wire.on_grid(exchange, price):
            raise Refused("APBK0506", "주문단가가 호가단위에 맞지 않습니다.", rt_cd="7")
    if qty != int(qty):
        raise Refused("APBK1201", "주문수량을 확인하십시오.", rt_cd="7")
    if not engine.affords(account, market.symbol, side, qty, price):
        if side is Side.BUY:
            raise Refused("APBK0952", "주문가능금액을 초과 했습니다", rt_cd="7")
        raise Refused("APBK0400", "주문 가능한 수량을 초과했습니다.", rt_cd="7")
    answer = engine.submit(account, market.symbol, side, qty, price, tif=tif)
    state = answer.order
    if state is None or (not answer.ok and answer.code is not Code.FOK_UNFILLED):
        raise Refused("APBK1299", answer.text, rt_cd="7")
    numbers.links(state)
    return state


def revise(numbers: Numbers, account: str, given: Json, at_ns: int) -> Link:
    """An amendment of all that is open, or a cancel of all or some."""
    engine = numbers.engine
    state = numbers.find(account, str(given.get("ORGN_ODNO", "")))
    if state is None or working(numbers.links(state)).number != str(given["ORGN_ODNO"]).rjust(10, "0"):
        raise Refused("APBK0344", "원주문번호가 존재하지 않습니다.", rt_cd="7")
    market = engine.markets[state.symbol]
    left = market.qty(state.leaves_qty)
    whole = given.get("QTY_ALL_ORD_YN", "Y" if numbers.exchange == US else "N") == "Y"
    qty = left if whole else positive(given.get("ORD_QTY"), "APBK1201", "주문수량을 확인하십시오.")
    if state.state is not w.State.OPEN or qty > left:
        raise Refused("APBK0385", "정정취소 가능수량이 없습니다.", rt_cd="7")
    if given.get("RVSE_CNCL_DVSN_CD") == "02":
        link = numbers.add(state, "cancel", qty, Decimal(0), at_ns)
        if qty == left:
            engine.cancel(state)
        else:
            engine.amend(state, market.qty(state.qty) - qty, market.price(state.price))
        return link
    name = "OVRS_ORD_UNPR" if numbers.exchange == US else "ORD_UNPR"
    price = positive(given.get(name), "APBK1202", "주문단가를 확인하십시오.")
    if not wire.on_grid(numbers.exchange, price):
        raise Refused("APBK0506", "주문단가가 호가단위에 맞지 않습니다.", rt_cd="7")
    if qty != left:
        raise Refused("APBK1201", "일부 정정은 할 수 없습니다.", rt_cd="7")
    link = numbers.add(
        state, "amend", qty, price, at_ns
    )  # before: what it trades at once is told under the new one
    answer = engine.amend(state, market.qty(state.qty), price)
    if not answer.ok:
        numbers.drop(state, link)
        raise Refused("APBK0385", "정정취소 가능수량이 없습니다.", rt_cd="7")
    return link


def positive(text: object, code: str, why: str) -> Decimal:
    try:
        value = Decimal(str(text))
    except InvalidOperation:
        value = Decimal(0)
    if not value.is_finite() or value <= 0:
        raise Refused(code, why, rt_cd="7")
    return value


# -- rows of the lists -----------------------------------------------------------------------------------------


@dataclass
class Row:
    link: Link
    state: w.OrderState
    market: Market
    filled: Decimal
    amount: Decimal
    left: Decimal
    told_ns: int

    @property
    def average(self) -> Decimal:
        return self.amount / self.filled if self.filled else Decimal(0)

    @property
    def refused(self) -> Decimal:
        is_refused = self.state.state is w.State.REJECTED and self.link.kind == "new"
        return self.link.qty if is_refused and self.state.code is not Code.FOK_UNFILLED else Decimal(0)


def rows(numbers: Numbers, account: str) -> list[Row]:
    """One a number, the oldest first."""
    trades: dict[int, list[w.Trade]] = {}
    for trade in numbers.engine.trades(account, limit=TRADES_MAX):
        trades.setdefault(trade.order_id, []).append(trade)
    found = [
        row
        for state in numbers.engine.orders(account)
        for row in _rows_of(numbers, state, trades.get(state.order_id, []))
    ]
    return sorted(found, key=lambda row: row.link.at_ns)


def _rows_of(numbers: Numbers, state: w.OrderState, trades: list[w.Trade]) -> list[Row]:
    links, market = numbers.links(state), numbers.engine.markets[state.symbol]
    at_work = [link for link in links if link.kind != "cancel"]
    made = []
    for link in links:
        if link.kind == "cancel":
            nothing = Decimal(0)
            made.append(Row(link, state, market, nothing, nothing, nothing, link.at_ns))
            continue
        place = at_work.index(link)
        last = place == len(at_work) - 1
        until = state.cum_qty if last else at_work[place + 1].from_cum
        cum, filled, amount, told_ns = 0, Decimal(0), Decimal(0), link.at_ns
        for trade in trades:
            if link.from_cum <= cum < until:
                filled += market.qty(trade.qty)
                amount += market.qty(trade.qty) * market.price(trade.price)
                told_ns = trade.at_ns
            cum += trade.qty
        left = market.qty(state.leaves_qty) if last else Decimal(0)
        made.append(Row(link, state, market, filled, amount, left, told_ns))
    return made
