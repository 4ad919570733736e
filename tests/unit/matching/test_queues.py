"""Where an order stands after others have canceled: figures computed by hand, and what the models come to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from bestex import sim_wire as w
from bestex.clock import MS, SECOND
from bestex.config_fills import FillsConfig, VenueFills
from bestex.human import Duration, Ratio
from bestex.instruments import Instrument, Instruments, Listing
from bestex.matching import Market, Order, SimExchange
from bestex.matching.queues import QueueModel, queue_model
from bestex.messages import Side, Tif
from bestex.recording import open_recording
from services.exchange.recordings import Converter, RecordingBackground

BASE = 1_000  # quantity units of one base
FRONT, BACK, CANCELED = 60 * BASE, 40 * BASE, 10 * BASE


def model(queue: str, **more: Any) -> QueueModel:
    return QueueModel(msgspec.convert({"queue": queue, **more}, VenueFills), BASE)


@pytest.mark.parametrize(
    ("queue", "more", "ahead"),
    [
        ("power", {"exponent": 1.0}, 54_000),  # p = .4
        ("power", {"exponent": 2.0}, 53_077),  # p = 16/52
        ("power2", {"exponent": 2.0}, 51_600),  # p = .16
        ("power3", {"exponent": 3.0}, 57_840),  # p = 1 - .216
        ("log", {}, 54_747),  # p = ln 41 / (ln 41 + ln 61) = .474612
        ("log2", {}, 58_047),  # p = ln 41 / ln 101 = .804653
        ("optimistic", {}, 50_000),
    ],
)
def test_the_published_models_give_the_figures_computed_by_hand(
    queue: str, more: dict[str, Any], ahead: int
) -> None:
    assert model(queue, **more).ahead(FRONT, FRONT + BACK, CANCELED, 0) == ahead


def test_a_measured_share_holds_whatever_the_sizes_are() -> None:
    share = QueueModel(VenueFills(queue="share", ahead_share=Ratio(0.3)))
    assert share.ahead(FRONT, FRONT + BACK, CANCELED, 0) == 57_000
    assert share.ahead(90_000, 100_000, CANCELED, 0) == 87_000


def test_who_has_waited_long_has_those_before_him_who_stay() -> None:
    aged = QueueModel(VenueFills(queue="aged", half_life=Duration(10 * SECOND)))
    assert aged.ahead(FRONT, FRONT + BACK, CANCELED, 0) == 54_000
    assert aged.ahead(FRONT, FRONT + BACK, CANCELED, 10 * SECOND) == 55_715  # p = 40 / (40 + 30)
    assert aged.ahead(FRONT, FRONT + BACK, CANCELED, 3600 * SECOND) == 60_000


@pytest.mark.parametrize("queue", ["power", "power2", "power3", "log", "log2", "optimistic", "share", "aged"])
def test_what_is_not_there_behind_is_taken_from_the_front(queue: str) -> None:
    made = model(queue)
    for front, before, canceled in ((95, 100, 50), (100, 100, 30), (0, 100, 30), (1, 1, 1), (0, 0, 0)):
        ahead = made.ahead(front, before, canceled, SECOND)
        assert max(front - canceled, 0) <= ahead <= min(front, max(before - canceled, 0))


def _order(number: int, side: int, price: int, qty: int, tif: Tif = Tif.GTC) -> Order:
    return Order(
        account="default",
        client_id=str(number),
        order_id=number,
        side=side,
        qty=qty,
        price=price,
        kind="limit",
        tif=tif,
        post_only=False,
        good_till_ns=0,
        created_ns=0,
        updated_ns=0,
    )


def placed(market: Market, side: int, price: int, qty: int) -> Order:
    order = _order(1, side, price, qty)
    market.submit(order, 0)
    return order


@pytest.mark.parametrize(("queue", "ahead"), [("risk_averse", 55), ("power", 50), ("optimistic", 45)])
def test_a_trade_and_the_size_that_shows_it_move_an_order_once(queue: str, ahead: int) -> None:
    settings = msgspec.convert({"queue": queue, "exponent": 1.0}, VenueFills)
    market = Market(Listing(venue="a", symbol="X/Y"), queues=queue_model(settings, 1))
    market.set_background(1, 100, 60, 0)
    order = placed(market, 1, 100, 7)
    market.set_background(1, 100, 100, 1)  # forty more, behind
    market.background_trade(100, 5, -1, 2)
    assert order.ahead == 55
    market.set_background(1, 100, 85, 3)  # five were traded, ten canceled: 55 - .55 x 10, rounded up
    assert order.ahead == ahead
    market.background_trade(100, ahead + 3, -1, 4)
    assert order.cum_qty == 3


def test_what_we_took_ourselves_is_no_cancel() -> None:
    market = Market(Listing(venue="a", symbol="X/Y"), queues=model("optimistic"))
    market.set_background(1, 100, 60, 0)
    order = placed(market, 1, 100, 7)
    assert sum(match.qty for match in market.submit(_order(2, -1, 100, 20, Tif.IOC), 1)) == 20
    assert order.ahead == 40
    market.set_background(1, 100, 40, 2)  # the feed's own takers took the same twenty
    assert order.ahead == 40
    market.set_background(1, 100, 30, 3)
    assert order.ahead == 30


def test_an_order_behind_the_evenings_queues_fills_the_more_the_more_cancels_are_before_it(
    data_dir: Path,
) -> None:
    """Orders of a tenth at the best bid every second, each alone, for two minutes of a real evening."""
    filled = {queue: _filled(data_dir, queue) for queue in ("risk_averse", "power3", "power", "optimistic")}
    quantities = list(filled.values())
    assert quantities == sorted(quantities), filled
    assert quantities[0] < quantities[-1], filled


def _filled(data_dir: Path, queue: str) -> int:
    recording = open_recording(data_dir / "binance" / "spot_btcusdt_20240808.gz")
    [stream] = recording.streams
    listing = Listing(venue=stream.venue, symbol=stream.symbol)
    made = Instrument(
        symbol=stream.symbol,
        price_scale=stream.price_scale,
        qty_scale=stream.qty_scale,
        listings=(listing,),
    )
    fills = msgspec.convert({"queue": queue, "exponent": 1.0 if queue == "power" else 3.0}, FillsConfig)
    sim = SimExchange(Instruments((made,)), [stream.venue], fills=fills)
    background = RecordingBackground(stream.venue, recording, {stream.symbol: Converter(made, listing)})
    start_ns = recording.start_ns
    for second in range(120):
        now_ns = start_ns + second * SECOND
        for symbol, event in background.step_until(now_ns):
            sim.background(symbol, event)
        best = sim.market(stream.venue, stream.symbol).best(1)
        if best is not None:
            order = w.Submit(
                venue=stream.venue,
                symbol=stream.symbol,
                client_id=f"c{second}",
                side=Side.BUY,
                qty=10**stream.qty_scale // 10,
                price=best,
                tif=Tif.GTD,
                good_till_ns=now_ns + 900 * MS,
            )
            sim.submit(order, now_ns)
    sim.advance(start_ns + 120 * SECOND)
    return sum(state.cum_qty for state in sim.orders(stream.venue))
