"""What the sniper would have seen on one real evening: spot and a perpetual of bitcoin, through the aggregator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import mean, median

from bestex.clock import MINUTE, MS, SECOND
from bestex.config import MarketDataConfig
from bestex.core import Emit, Wake, Wakeup
from bestex.instruments import Instrument, Instruments, Listing
from bestex.messages import ConsolidatedBook, Side, Stats
from bestex.recording import open_recording
from services.aggregator.core import AggregatorCore
from services.scheduler.algos.sniper import Sniper
from services.scheduler.market import Market
from services.scheduler.models.liquidity_events import Moment, moment

LISTINGS = (
    Listing(venue="binance_spot", symbol="BTC/USDT"),
    Listing(venue="binance_perp", symbol="BTC/USDT:USDT", kind="perp"),
)
INSTRUMENT = Instrument(symbol="BTC/USDT", price_scale=2, qty_scale=5, listings=LISTINGS)
FROM_NS, UNTIL_NS = 90 * SECOND, 330 * SECOND  # before that a minute's averages are not usual yet
EVERY_NS = 20 * MS  # as often as the scheduler looks


def moments(data_dir: Path) -> Iterator[tuple[int, Moment]]:
    """(time, what a buyer sees), each time that the scheduler would have looked."""
    folder = data_dir / "binance"
    recording = open_recording(folder / "spot_btcusdt_20240808.gz", folder / "usdm_btcusdt_20240808.gz")
    core = AggregatorCore(Instruments((INSTRUMENT,)), MarketDataConfig(basis=True))
    market, wakes = Market(INSTRUMENT), dict[str, int]()
    begun_ns = looked_ns = 0
    for message in recording.books(20):
        now_ns = message.recv_ns
        begun_ns = begun_ns or now_ns
        if now_ns - begun_ns > UNTIL_NS:
            return
        due = [Wakeup(key) for key, at_ns in wakes.items() if at_ns <= now_ns]
        for one in due:
            del wakes[one.key]
        for effect in [effect for one in (*due, message) for effect in core.decide(one, now_ns)]:
            match effect:
                case Wake(key, at_ns):
                    wakes[key] = at_ns
                case Emit(message=Stats() as stats):
                    market = market.with_stats(stats)
                case Emit(message=ConsolidatedBook() as book):
                    market = market.with_book(book)
        if now_ns - begun_ns >= FROM_NS and now_ns - looked_ns >= EVERY_NS:
            looked_ns = now_ns
            if (seen := moment(Side.BUY, market, Sniper().near, None)) is not None:
                yield now_ns, seen


def a_minute(seen: list[tuple[int, Moment]], threshold: float) -> float:
    """Events, each at least a cooldown after the one before."""
    events, last_ns = 0, 0
    for at_ns, one in seen:
        if one.parts.score >= threshold and at_ns - last_ns >= Sniper().cooldown:
            events, last_ns = events + 1, at_ns
    return events * MINUTE / (seen[-1][0] - seen[0][0])


def test_events_are_rare_and_offer_more_than_the_market_does_otherwise(
    data_dir: Path,
) -> None:
    seen = list(moments(data_dir))
    assert len(seen) > 3_000
    usual, rows = mean(one.qty for _, one in seen), []
    for threshold in (0.55, 0.6, 0.65, 0.7):
        events = [one for _, one in seen if one.parts.score >= threshold]
        offered = mean(one.qty for one in events) / usual
        rows.append((threshold, len(events) / len(seen), a_minute(seen, threshold), offered))
    print(f"\n{len(seen)} moments, median score {median(one.parts.score for _, one in seen):.2f}")
    print("threshold  of moments  a minute  size at the touch against the mean")
    for threshold, share, rate, offered in rows:
        print(f"{threshold:9.2f}  {share:10.2%}  {rate:8.1f}  {offered:8.2f}")
    at = {threshold: row for threshold, *row in rows}
    assert 0.002 < at[float(Sniper().threshold)][0] < 0.05
    assert at[float(Sniper().threshold)][2] > 1.5
    assert [offered for *_, offered in rows] == sorted(offered for *_, offered in rows)
