"""What listeners are sent."""

from __future__ import annotations

from typing import Any

from bestex import codec
from bestex import sim_wire as w
from bestex.background import ASK, BID, LevelSet
from bestex.clock import MS, SECOND
from bestex.matching import Print, SimExchange
from services.exchange.streams import HEARTBEAT_NS, MAX_QUEUED, MarketData, Outbox, UserData
from tests.unit.matching.test_exchange import BTC, ETH, NOW, buy, make


class FakeOutbox(Outbox):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def put(self, data: bytes, is_text: bool) -> None:
        assert not is_text
        self.sent.append(codec.msgpack_decoder(w.Frame).decode(data))


class FakeUserOutbox(FakeOutbox):
    def put(self, data: bytes, is_text: bool) -> None:
        kind: type[w.UserEvent] = w.UserEvent
        self.sent.append(codec.from_json(data, kind) if is_text else codec.from_msgpack(data, kind))


def market_data() -> tuple[SimExchange, MarketData]:
    exchange = make()
    for side, price in ((BID, 99), (ASK, 101)):
        exchange.background(BTC, LevelSet(NOW, "sim_a", side, price, 10))
    data = MarketData((i, exchange.market(i.venue, i.symbol)) for i in exchange.markets())
    return exchange, data


def test_a_listener_gets_the_book_at_once_and_then_what_changes() -> None:
    exchange, data = market_data()
    outbox = FakeOutbox()
    data.join(outbox, "sim_a", BTC, 5, False, NOW)
    data.publish([], NOW)
    exchange.background(BTC, LevelSet(NOW, "sim_a", BID, 98, 7))
    data.publish([Print("sim_a", BTC, NOW, "t1", 99, 2, -1)], NOW + 10 * MS)
    data.publish([], NOW + 20 * MS)
    assert [(type(f).__name__, f.seq) for f in outbox.sent] == [
        ("BookFrame", 0),
        ("BookFrame", 1),
        ("TradeFrame", 2),
        ("BookFrame", 3),
    ]
    assert (outbox.sent[-1].bid_px, outbox.sent[-1].bid_qty) == ([99, 98], [10, 7])


def test_a_change_below_the_levels_shown_sends_nothing() -> None:
    exchange, data = market_data()
    outbox = FakeOutbox()
    data.join(outbox, "sim_a", BTC, 1, False, NOW)
    data.publish([], NOW)
    exchange.background(BTC, LevelSet(NOW, "sim_a", BID, 50, 7))
    data.publish([], NOW + 10 * MS)
    assert len(outbox.sent) == 2


def test_a_quiet_book_is_repeated_so_that_quiet_is_not_taken_for_lost() -> None:
    _, data = market_data()
    outbox = FakeOutbox()
    data.join(outbox, "sim_a", BTC, 1, False, NOW)
    data.publish([], NOW)
    data.publish([], NOW + HEARTBEAT_NS)
    assert [frame.seq for frame in outbox.sent] == [0, 1, 2]


def test_a_market_that_is_heard_from_elsewhere_is_repeated_only_if_it_was_heard_again() -> None:
    _, data = market_data()
    outbox = FakeOutbox()
    data.join(outbox, "sim_a", BTC, 1, False, NOW)
    data.heard_ns = {("sim_a", BTC): NOW}
    data.publish([], NOW)
    data.publish([], NOW + HEARTBEAT_NS)
    assert [frame.seq for frame in outbox.sent] == [0, 1]
    data.heard_ns = {("sim_a", BTC): NOW + 1}
    data.publish([], NOW + HEARTBEAT_NS)
    assert [frame.seq for frame in outbox.sent] == [0, 1, 2]


def test_one_who_listens_to_a_venue_hears_all_of_its_markets_and_no_others() -> None:
    _, data = market_data()
    outbox = FakeOutbox()
    data.join(outbox, "sim_b", "", 5, False, NOW)
    assert {(frame.venue, frame.symbol) for frame in outbox.sent} == {("sim_b", BTC), ("sim_b", ETH)}


def test_an_account_hears_only_of_itself() -> None:
    exchange, data = make(), UserData()
    mine, other = FakeUserOutbox(), FakeUserOutbox()
    data.join(mine, "sim_a", "default", False)
    data.join(other, "sim_a", "other", True)
    exchange.handle(buy("maker", 5, 100, account="other"), NOW)
    exchange.handle(buy("c1", 5, 99), NOW)
    for entry in exchange.drain():
        data.publish(entry)
    assert [[state.client_id for state in event.orders] for event in mine.sent] == [["c1"]]
    assert [[state.client_id for state in event.orders] for event in other.sent] == [["maker"]]
    data.leave(mine, "sim_a", "default")
    exchange.handle(buy("c2", 5, 99), NOW + SECOND)
    for entry in exchange.drain():
        data.publish(entry)
    assert len(mine.sent) == 1


class FakeSocket:
    def __init__(self) -> None:
        self.closed = False
        self.code = 0
        self.sent: list[bytes] = []

    async def send_bytes(self, data: bytes) -> None:
        self.sent.append(data)
        self.closed = data == b"last"

    async def close(self, *, code: int, message: bytes) -> None:
        assert message
        self.closed, self.code = True, code


async def test_an_outbox_sends_in_order() -> None:
    socket = FakeSocket()
    outbox = Outbox(socket)  # type: ignore[arg-type]
    for data in (b"first", b"second", b"last"):
        outbox.put(data, False)
    await outbox.run()
    assert socket.sent == [b"first", b"second", b"last"]


async def test_a_listener_too_far_behind_is_disconnected() -> None:
    socket = FakeSocket()
    outbox = Outbox(socket)  # type: ignore[arg-type]
    for _ in range(MAX_QUEUED + 1):
        outbox.put(b"", False)
    await outbox.run()
    assert socket.code == 1013
