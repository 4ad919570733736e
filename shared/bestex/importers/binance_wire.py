"""Binance's market data frames, and what their symbols mean.

Spot:    https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
USD-M:   https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams
COIN-M:  https://developers.binance.com/docs/derivatives/coin-margined-futures/websocket-market-streams
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

import msgspec

from bestex.clock import MS, US

Pairs = list[tuple[str, str]]

# Longest match wins: BTCFDUSD is BTC/FDUSD, not BTCFD/USD.
_DOLLARS = "USDT USDC FDUSD BUSD TUSD USDP USDS USDE USD1 BFUSD DAI VAI UST PAX USD"
_COINS = "BTC ETH BNB TRX XRP DOGE DOT SOL"
_FIAT = "EUR EURI AEUR GBP AUD TRY BRL JPY ARS MXN COP CZK PLN RON ZAR UAH RUB NGN IDR IDRT BIDR BVND BKRW"
QUOTES = sorted(f"{_DOLLARS} {_COINS} {_FIAT}".split(), key=len, reverse=True)

_PARTIAL_DEPTH = re.compile(r"@depth(?:5|10|20)\b")  # whole small books of their own, not differences
_FIRST_US = 10**14  # a time stamp this large is in microseconds (the year 5138 in milliseconds)


class Body(msgspec.Struct):
    """The union of all frames' fields that matter; what a frame lacks stays at its default."""

    e: str = ""
    E: int = 0
    T: int = 0
    s: str = ""
    ps: str = ""
    U: int = 0
    u: int = 0
    pu: int | None = None
    b: int | str | Pairs = ""
    B: int | str = ""
    a: int | str | Pairs = ""
    A: int | str = ""
    t: int = 0
    p: str = ""
    q: str = ""
    m: bool | None = None
    X: str = ""
    lastUpdateId: int = 0
    bids: Pairs = []
    asks: Pairs = []
    symbol: str = ""


class Frame(Body):
    """A bare frame, or a combined stream's envelope around one."""

    stream: str = ""
    data: Body | None = None
    id: int | str | None = None


class Kind(Enum):
    DEPTH = "depth"
    SNAPSHOT = "snapshot"
    TRADE = "trade"
    TICKER = "ticker"
    OTHER = "other"  # a known kind of frame that carries nothing we use


_decode = msgspec.json.Decoder(Frame).decode


def parse(line: bytes) -> tuple[int, Kind, Body]:
    """Receive time in ns, kind and body of `<recv_ns> <json>`. ValueError (msgspec's included) where it is none."""
    stamp, _, text = line.partition(b" ")
    if not stamp.isdigit():
        raise ValueError("the line does not begin with a receive time")
    frame = _decode(text)
    body = frame if frame.data is None else frame.data
    return int(stamp), _kind(frame, body), body


def _kind(frame: Frame, body: Body) -> Kind:
    if frame.stream and _PARTIAL_DEPTH.search(frame.stream):
        return Kind.OTHER
    if body.lastUpdateId:
        return Kind.SNAPSHOT
    if body.e == "depthUpdate":
        if not (body.s and body.u >= body.U > 0 and isinstance(body.b, list) and isinstance(body.a, list)):
            raise ValueError("a depth update without symbol, ids or levels")
        return Kind.DEPTH
    if body.e == "trade":
        if not (body.s and body.t and body.p and body.q and body.m is not None):
            raise ValueError("a trade without symbol, id, price, size or side")
        # Futures also report liquidations into the insurance fund and deleveraging, which no book saw.
        return Kind.TRADE if body.X in ("", "MARKET") else Kind.OTHER
    if body.e == "bookTicker" or (not body.e and body.s and body.u and body.B):
        if not (body.s and body.u and all(isinstance(x, str) for x in (body.b, body.B, body.a, body.A))):
            raise ValueError("a book ticker without symbol, id, price or size")
        return Kind.TICKER
    if body.e or frame.stream or frame.id is not None:
        return Kind.OTHER
    raise ValueError("a frame of no known kind")


def to_ns(stamp: int) -> int:
    """Binance's time stamp, milliseconds or (where asked for) microseconds, in ns."""
    return stamp * (US if stamp >= _FIRST_US else MS)


class Named(NamedTuple):
    """`contract_size` is in USD where `inverse`, else 1."""

    venue: str
    symbol: str
    inverse: bool
    contract_size: int


def name(raw: str, *, futures: bool) -> Named:
    """Venue and unified symbol of Binance's symbol: BTCUSDT, BTCUSD_PERP, BTCUSDT_240927.

    ValueError where the quote asset is not known.
    """
    pair, _, delivery = raw.partition("_")
    inverse = bool(delivery) and pair.endswith("USD")
    quotes = ["USD"] if inverse else QUOTES
    quote = next((q for q in quotes if pair.endswith(q) and len(pair) > len(q)), None)
    if quote is None:
        raise ValueError(f"the quote asset of {raw!r} is not known")
    base = pair.removesuffix(quote)
    if not (futures or delivery):
        return Named("binance_spot", f"{base}/{quote}", False, 1)
    dated = f"-{delivery}" if delivery not in ("", "PERP") else ""
    settle = base if inverse else quote
    # https://www.binance.com/en/support/faq: COIN-M contracts are 100 USD for BTC and 10 USD for all others.
    size = (100 if base == "BTC" else 10) if inverse else 1
    return Named("binance_perp", f"{base}/{quote}:{settle}{dated}", inverse, size)
