"""The campaign in small, and its judgement: that it finds what is wrong when something is."""

from __future__ import annotations

from decimal import Decimal

import pytest
from nats.aio.msg import Msg

from bestex import plugins, subjects
from bestex.reading import Kept
from tests.faults.campaign import verdict
from tests.faults.campaign.load import Ledger, Notes
from tests.faults.campaign.orders import Message, Orders
from tests.faults.campaign.plan import Kind, Settings, server_faults, service_faults, venue_troubles
from tests.faults.campaign.run import campaign
from tests.faults.campaign.venues import EMULATED

SMALL = Settings(service_kills=20, server_kills=3, minutes=0.3, seed=4, in_flight=24, split=False)
FAILING = Settings(
    service_kills=10, server_kills=1, minutes=0.4, seed=5, in_flight=10, venues="ccxt"
)  # with exchanges that fail as well
NAMES = ["router", "gateway-sim_a", "scheduler-twap"]


@pytest.mark.timeout(240)  # it takes some thirty-five seconds; a machine under load starts processes slowly
async def test_no_promise_is_broken_by_twenty_kills_of_services_and_three_of_the_bus() -> None:
    told: list[str] = []
    result = await campaign(SMALL, told.append)
    assert result.ok, result
    assert result.service_kills_total == 20
    assert result.server_kills == 3
    assert result.parents == sum(result.parents_by_algo.values()) > 20
    assert result.children > 50
    assert result.fills > 0


@pytest.mark.campaign
@pytest.mark.timeout(240)  # it takes some forty seconds, and a machine that has nothing else to do
async def test_no_promise_is_broken_by_ten_kills_though_the_exchanges_fail_too() -> None:
    told: list[str] = []
    result = await campaign(FAILING, told.append)
    assert result.ok, result
    assert result.service_kills_total == 10
    assert result.parents == sum(result.parents_by_algo.values()) > 20
    assert sum(result.venue_faults.values()) > 5
    assert result.audited["venue trades"] == result.fills > 0
    assert {venue for venue, counts in result.became.items() if counts["fill"]} == set(EMULATED["ccxt"])


# -- the schedule ------------------------------------------------------------------------------------------


def test_a_schedule_is_a_function_of_its_seed_and_holds_every_kill() -> None:
    settings = Settings(service_kills=100, server_kills=20, minutes=5, replicas=3, seed=9)
    faults = service_faults(settings, NAMES)
    assert faults == service_faults(settings, NAMES)
    assert faults != service_faults(Settings(100, 20, 5, seed=8), NAMES)
    assert sum(fault.kind is Kind.KILL for fault in faults) == 100
    assert {fault.kind for fault in faults} == {Kind.KILL, Kind.FREEZE, Kind.REPLACE, Kind.STOP}
    servers = server_faults(settings)
    assert sum(fault.kind is Kind.KILL for fault in servers) == 20
    assert {fault.target for fault in servers} == {"0", "1", "2"}
    assert [fault.at_s for fault in servers] == sorted(fault.at_s for fault in servers)


def test_an_exchange_does_everything_wrong_as_often_and_is_cut_off_too() -> None:
    settings = Settings(service_kills=200, server_kills=0, minutes=5)
    troubles = venue_troubles(settings, ["a", "b"])
    assert troubles == venue_troubles(settings, ["a", "b"])
    assert {trouble.exchange for trouble in troubles} == {"a", "b"}
    assert any(not trouble.faults for trouble in troubles)
    faults = [fault for trouble in troubles for fault in trouble.faults]
    for how in ("timeout", "reset", "server_error", "delay", "double", "rate_limited"):
        assert any(fault.how == how and fault.what == "new" for fault in faults), how
    assert any(fault.how == "late_user" for fault in faults)
    # An order that was taken is never said to be refused: no exchange does that.
    assert all(fault.when == "before" for fault in faults if fault.how in ("rate_limited", "maintenance"))


def test_one_server_is_never_parted_from_others() -> None:
    faults = server_faults(Settings(service_kills=0, server_kills=100, minutes=5))
    assert Kind.PARTITION not in {fault.kind for fault in faults}
    assert {fault.target for fault in faults} == {"0"}


def test_the_orders_are_of_every_algorithm_and_strategy_and_some_are_changed() -> None:
    orders = Orders(seed=1, run="run")
    mids = {"BTC/USDT": Decimal(60_000), "ETH/USDT": Decimal(3_000)}
    made = [orders.next(mids) for _ in range(200)]
    assert {order.algo for order in made} == set(plugins.ALGOS)
    bodies = b"".join(order.new.body for order in made)
    for words in (*plugins.STRATEGIES, "buy", "sell", "limit_price"):
        assert f'"{words}"'.encode() in bodies
    verbs = {change.subject.split(".")[3] for order in made for change in order.changes}
    assert verbs == {"modify", "pause", "resume", "cancel"}
    assert len({order.parent_id for order in made}) == 200


# -- the judgement -----------------------------------------------------------------------------------------

NEW = Message(0.0, subjects.order("new", "twap", "BTC/USDT"), b"{}")
STORED = {
    subjects.ORDERS: [(1, NEW.subject, NEW.body)],
    subjects.SCHED: [
        (1, subjects.parent("BTC/USDT", "p1", "accepted"), b"a"),
        (2, subjects.parent("BTC/USDT", "p1", "done"), b"d"),
    ],
}


def seen(stream: str, seq: int, subject: str, data: bytes) -> Notes:
    """Notes that hold one message."""

    where = {"Nats-Stream": stream, "Nats-Subject": subject, "Nats-Sequence": str(seq), "Nats-Time-Stamp": ""}
    notes = Notes()
    notes.take(Kept(Msg(None, data=data, headers=where)))  # type: ignore[arg-type]
    return notes


def ledger() -> Ledger:
    made = Ledger()
    made.acknowledged[1] = NEW
    made.parents.add("p1")
    return made


def test_what_is_all_there_is_right() -> None:
    notes = seen(subjects.SCHED, 2, *STORED[subjects.SCHED][1][1:])
    assert verdict.disagreements(ledger(), notes, STORED) == []


@pytest.mark.parametrize(
    ("stream", "kept", "words"),
    [
        (subjects.ORDERS, [], "the bus acknowledged"),
        (subjects.ORDERS, [(1, NEW.subject, b'{"qty":"2"}')], "the bus acknowledged"),
        (subjects.SCHED, STORED[subjects.SCHED][:1], "has only"),
        (subjects.SCHED, STORED[subjects.SCHED][1:], "has only"),
    ],
)
def test_an_order_that_was_acknowledged_and_is_lost_or_changed_or_unended_is_found(
    stream: str, kept: list[tuple[int, str, bytes]], words: str
) -> None:
    [problem] = verdict.disagreements(ledger(), Notes(), {**STORED, stream: kept})
    assert words in problem


def test_what_was_seen_and_is_gone_or_changed_is_found() -> None:
    subject = subjects.parent("BTC/USDT", "p1", "accepted")
    gone = verdict.disagreements(ledger(), seen(subjects.SCHED, 7, subject, b"a"), STORED)
    assert gone == ["SCHED 7 was seen and is gone"]
    [changed] = verdict.disagreements(ledger(), seen(subjects.SCHED, 1, subject, b"other"), STORED)
    assert "is not what it was" in changed
