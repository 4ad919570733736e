"""What some forty exchanges really sent, heard by today's classes of ccxt with our ears in them, without a network.

The frames are of 2021 to 2024. Where an exchange has changed its protocol since, its class does not understand them:
`NEWER` says of each what has changed. `pytest -s` shows the table.
"""

from __future__ import annotations

import asyncio
from typing import Any

import ccxt.pro
import orjson
import pytest

from tests.unit.collector.recorded import ARCHIVE, Case, Heard, play, recordings

NEWER = {
    "ASCENDEX": "ccxt has no class with websockets",
    "ASCENDEX_FUTURES": "ccxt has no class with websockets",
    "BEQUANT": "version 2 was recorded, the class speaks version 3",
    "BIT.COM": "ccxt has no class",
    "BITFLYER": "ccxt has no class with websockets",
    "BITGET": "version 1 was recorded, the class speaks version 2",
    "BITHUMB": "version 1 was recorded, and six frames of it; the class asks for markets in version 2's way",
    "BITMEX": "ccxt has no class with websockets",
    "BITTREX": "the exchange has closed",
    "BYBIT": "versions 1 and 2 were recorded, the class speaks version 5",
    "CRYPTO.COM": "no frames were recorded",
    "DELTA": "ccxt has no class with websockets",
    "DYDX": "version 3 was recorded, the class speaks version 4",
    "HITBTC": "version 2 was recorded, the class speaks version 3, which FMFW recorded",
    "HUOBI_DM": "no frames were recorded",
    "INDEPENDENT_RESERVE": "single orders were recorded, the class hears channels of levels",
    "KRAKEN": "version 1 was recorded, the class speaks version 2",
    "PROBIT": "ccxt has no class with websockets",
}

NO_TRADES = {"trades": "nobody traded"}
SPOT: dict[str, Any] = {"fetchMarkets": {"types": ["spot"]}, "fetchMargins": False}
SWAP: dict[str, Any] = {"fetchMarkets": {"types": ["swap"]}}
NONE: dict[str, Any] = {"code": 200, "data": []}
SERVER = {"endpoint": "wss://ws-api-spot.kucoin.com/", "pingInterval": 18_000, "pingTimeout": 10_000}
BULLET = {"code": "200000", "data": {"token": "none", "instanceServers": [SERVER]}}


def without_number(frame: str) -> str:
    """The recorder had asked Bitfinex to number all frames, which ccxt does not."""
    said = orjson.loads(frame)
    return orjson.dumps(said[:-1]).decode() if isinstance(said, list) else frame


def with_currencies(body: Any) -> Any:
    """Deribit says since then what an option is priced and settled in."""
    for one in body["result"]:
        one.setdefault("counter_currency", "USD")
        one.setdefault("settlement_currency", one["base_currency"])
    return body


def in_capitals(body: Any) -> Any:
    """Kraken Futures wrote in its list of instruments in small letters what it wrote in capitals in all frames."""
    for one in body["instruments"]:
        one["symbol"] = one["symbol"].upper()
    return body


def gate_ack(sent: Any) -> Any:
    done = {"status": "success"}
    return {"id": sent["id"], "channel": sent["channel"], "event": "subscribe", "error": None, "result": done}


def pairs(text: str, cut: int, prefix: str = "") -> dict[str, str]:
    """Ids of markets, and their symbols; the quote currency is what follows `cut`."""
    return {f"{prefix}{pair}": f"{pair[:cut]}/{pair[cut:]}".upper() for pair in text.split()}


UPBIT_NAMES = {
    **{"ty": "type", "cd": "code", "tms": "timestamp", "st": "stream_type", "obu": "orderbook_units"},
    **{"ap": "ask_price", "bp": "bid_price", "as": "ask_size", "bs": "bid_size"},
    **{"tas": "total_ask_size", "tbs": "total_bid_size", "td": "trade_date", "ttm": "trade_time"},
    **{"ttms": "trade_timestamp", "tp": "trade_price", "tv": "trade_volume", "ab": "ask_bid"},
    **{"pcp": "prev_closing_price", "c": "change", "cp": "change_price", "sid": "sequential_id"},
}


def in_long(frame: str) -> str:
    """The recorder had asked Upbit for its short field names, and for no first book; each one is a whole book."""

    def long(said: Any) -> Any:
        if isinstance(said, list):
            return [long(one) for one in said]
        if isinstance(said, dict):
            return {UPBIT_NAMES.get(name, name): long(one) for name, one in said.items()}
        return said

    made = long(orjson.loads(frame))
    return orjson.dumps(made | {"stream_type": "SNAPSHOT"} if made["type"] == "orderbook" else made).decode()


def with_time(body: Any) -> Any:
    """Gate's snapshots say since then of when they are."""
    return {"current": 1_619_093_533_000, "update": 1_619_093_533_000} | body


SOON = {"watchOrderBook": {"snapshotDelay": 0}}
STATUS = {"result": "success", "instrumentStatus": []}
FUTURES = "/derivatives/api/v3/instruments"
PRODUCTS = "/exchange/public/cfg/v2/products"

CASES = (
    Case("BINANCE", "binance", SPOT),
    Case("BINANCE_DELIVERY", "binancecoinm"),
    Case("BINANCE_FUTURES", "binanceusdm"),
    Case("BINANCE_TR", "binance", SPOT, lacks=NO_TRADES),
    Case("BINANCE_US", "binanceus"),
    Case(
        "BITFINEX",
        "bitfinex",
        made=pairs("BFTUSD IOTETH DOGUSD MNABTC ODEUSD SNGUSD", -3, "t"),
        edit=without_number,
        lacks=NO_TRADES,
    ),
    Case(
        "BITSTAMP",
        "bitstamp",
        made=pairs("sgbeur ethusd xrpeur bateur usdteur usdtusd xlmgbp adaeur batbtc galaeur", -3),
    ),
    Case(
        "BLOCKCHAIN",
        "blockchaincom",
        made={pair: pair.replace("-", "/") for pair in ("ALGO-BTC", "ENJ-USD", "XLM-EUR")},
        lacks=NO_TRADES,
    ),
    Case("COINBASE", "coinbaseexchange", keys=True),
    Case("DERIBIT", "deribit", answers={"/api/v2/public/get_instruments": with_currencies}, lacks=NO_TRADES),
    Case("FMFW", "hitbtc"),
    Case(
        "GATEIO",
        "gateeu",
        SPOT | SOON,
        {"/api/v4/margin/currency_pairs": [], "/api/v4/spot/order_book": with_time},
        ack=gate_ack,
        leave=("DIS/USDT",),
    ),
    Case(
        "GATEIO_FUTURES",
        "gate",
        SWAP | SOON,
        {"/api/v4/futures/btc/contracts": []},
        ack=gate_ack,
        lacks=NO_TRADES,
    ),
    Case("GEMINI", "gemini"),
    Case(
        "HUOBI",
        "htx",
        {"fetchMarkets": {"types": {"spot": True}}},
        lacks={"books": "the class hears books on another channel"},
    ),
    Case(
        "HUOBI_SWAP",
        "htx",
        {"fetchMarkets": {"types": {"linear": True}}},
        lacks={"books": "the class hears books on another channel"},
    ),
    Case("KRAKEN_FUTURES", "krakenfutures", answers={FUTURES: in_capitals, f"{FUTURES}/status": STATUS}),
    Case(
        "KUCOIN",
        "kucoin",
        {"fetchMarkets": {"types": ["spot"], "fetchTickersFees": False}},
        {
            "/api/v2/symbols": "/api/v1/symbols",
            "/api/v1/bullet-public": BULLET,
            "/api/v1/market/orderbook/level2_100": "/api/v3/market/orderbook/level2",
        },
    ),
    Case("OKCOIN", "okx", SPOT),
    Case("OKX", "okx"),
    Case(
        "PHEMEX",
        "phemex",
        answers={
            "/public/products": PRODUCTS,
            "/v1/exchange/public/products": NONE,
            "/exchange/public/products": NONE,
        },
    ),
    Case("POLONIEX", "poloniex", SPOT, {"/v3/market/allInstruments": NONE}),
    Case("UPBIT", "upbit", edit=in_long),
)


async def play_all() -> tuple[dict[str, Heard], set[str]]:
    cases = {case.recording: case for case in CASES}
    made, names = {}, set()
    for recording in recordings():
        names.add(recording.name)
        case = cases.get(recording.name)
        if case is not None:
            made[recording.name] = await play(case, recording)
    return made, names


@pytest.fixture(scope="module")
def played() -> tuple[dict[str, Heard], set[str]]:
    """The archive is read once, for all tests."""
    if not ARCHIVE.exists():
        pytest.skip(f"needs the recorded frames {ARCHIVE.name}")
    return asyncio.run(play_all())


@pytest.fixture
def heard(played: tuple[dict[str, Heard], set[str]]) -> dict[str, Heard]:
    return played[0]


def test_every_recorded_exchange_is_played_or_has_a_reason(played: tuple[dict[str, Heard], set[str]]) -> None:
    heard, names = played
    print(f"\n{'recording':17} {'class':17} markets frames  books trades  heard by   a best bid and ask")
    for one in heard.values():
        print(one.row)
    for name in sorted(names - heard.keys()):
        print(f"{name:17} not played: {NEWER.get(name, '')}")
    assert names == heard.keys() | NEWER.keys()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_was_sent_gives_books_and_trades_that_can_be(case: Case, heard: dict[str, Heard]) -> None:
    one = heard[case.recording]
    assert not one.error
    assert (one.books > 0, one.trades > 0) == ("books" not in case.lacks, "trades" not in case.lacks)
    assert (one.crossed, one.unsorted, one.empty_levels, one.off_tick, one.unknown) == (0, 0, 0, 0, 0)


def test_the_best_prices_that_were_recorded_are_told(heard: dict[str, Heard]) -> None:
    """Binance's alone were."""
    assert {one.case.exchange for one in heard.values() if one.bests} >= {
        "binance",
        "binanceusdm",
        "binancecoinm",
    }


def test_at_least_twenty_exchanges_show_books(heard: dict[str, Heard]) -> None:
    assert sum(one.books > 0 for one in heard.values()) >= 20


def test_what_our_quirks_take_ccxt_does_not_see(heard: dict[str, Heard]) -> None:
    """Of recorded books that is Binance, in all its forms. OKX numbered none then (its trades are ours), and Bybit,
    Coinbase Advanced and Kraken were recorded in versions that are spoken no more: emulators show those."""
    ours = {one.case.recording for one in heard.values() if one.ours > one.trades + one.bests}
    assert ours == {"BINANCE", "BINANCE_DELIVERY", "BINANCE_FUTURES", "BINANCE_TR", "BINANCE_US"}


def test_markets_are_read_from_what_was_recorded_for_at_least_twelve_classes(heard: dict[str, Heard]) -> None:
    assert len({one.case.exchange for one in heard.values() if one.markets}) >= 12
    assert all(hasattr(ccxt.pro, one.case.exchange) for one in heard.values())
