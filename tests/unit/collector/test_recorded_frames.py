"""What some fifty exchanges really sent, heard by today's classes of ccxt with our ears in them, without a network.

The frames are of 2021 to 2024. Where an exchange has changed its protocol since, its class does not understand them:
`NEWER` says of each what is new.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.unit.collector.recorded import ARCHIVE, Case, Heard, play, recordings

SPOT: dict[str, Any] = {"fetchMarkets": {"types": ["spot"]}}
SWAP: dict[str, Any] = {"fetchMarkets": {"types": ["swap"]}}
BULLET = {
    "code": "200000",
    "data": {
        "token": "none",
        "instanceServers": [
            {"endpoint": "wss://ws-api-spot.kucoin.com/", "pingInterval": 18_000, "pingTimeout": 10_000}
        ],
    },
}
NONE: dict[str, Any] = {"code": 200, "data": []}
COARSER = "sizes and prices of before a coarser filter still rest"

CASES = (
    Case("BINANCE", "binance", SPOT),
    Case("BINANCE_DELIVERY", "binancecoinm"),
    Case("BINANCE_FUTURES", "binanceusdm"),
    Case("BINANCE_TR", "binance", SPOT),
    Case("BINANCE_US", "binanceus"),
    Case("BITFINEX", "bitfinex", made={"tBFTUSD": "BFT/USD"}),
    Case("BITSTAMP", "bitstamp", made={i: f"{i[:-3].upper()}/{i[-3:].upper()}" for i in ("ethusd", "xrpeur", "bateur", "adaeur", "batbtc", "xlmgbp", "galaeur", "sgbeur")}),
    Case("BLOCKCHAIN", "blockchaincom", made={i: i.replace("-", "/") for i in ("ALGO-BTC", "ENJ-USD", "XLM-EUR")}),
    Case("COINBASE", "coinbaseexchange"),
    Case("DERIBIT", "deribit"),
    Case("FMFW", "hitbtc"),
    Case("GATEIO", "gate", SPOT | {"watchOrderBook": {"snapshotDelay": 0}}, {"/api/v4/margin/currency_pairs": []}),
    Case("GATEIO_FUTURES", "gate", SWAP | {"watchOrderBook": {"snapshotDelay": 0}}, {"/api/v4/futures/btc/contracts": []}),
    Case("GEMINI", "gemini"),
    Case("HUOBI", "htx", {"fetchMarkets": {"types": {"spot": True}}}),
    Case("HUOBI_SWAP", "htx", {"fetchMarkets": {"types": {"linear": True}}}),
    Case("KRAKEN_FUTURES", "krakenfutures", answers={"/derivatives/api/v3/instruments/status": {"result": "success", "instrumentStatus": []}}),
    Case("KUCOIN", "kucoin", {"fetchMarkets": {"types": ["spot"], "fetchTickersFees": False}}, {"/api/v2/symbols": "/api/v1/symbols", "/api/v1/bullet-public": BULLET}),
    Case("OKCOIN", "okx", SPOT),
    Case("OKX", "okx"),
    Case("PHEMEX", "phemex", answers={"/public/products": "/exchange/public/cfg/v2/products", "/v1/exchange/public/products": NONE, "/exchange/public/products": NONE}),
    Case("POLONIEX", "poloniex", SPOT, {"/v3/market/allInstruments": NONE}),
)


async def _play_all() -> dict[str, Heard]:
    cases = {case.recording: case for case in CASES}
    made = {}
    for recording in recordings():
        case = cases.get(recording.name)
        if case is not None:
            try:
                made[recording.name] = await play(case, recording)
            except Exception as e:
                made[recording.name] = Heard(case, error=repr(e))
    return made


@pytest.fixture(scope="module")
def heard() -> dict[str, Heard]:
    if not ARCHIVE.exists():
        pytest.skip(f"needs the recorded frames {ARCHIVE.name}")
    made = asyncio.run(_play_all())
    print()
    for one in made.values():
        print(one.row, vars(one) if one.crossed or one.unsorted or one.unknown or one.off_tick or one.empty_levels else "")
    return made


def test_x(heard):
    pass
