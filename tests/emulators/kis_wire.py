"""Korea Investment & Securities' own words: terms, hours, order numbers, notices, frames. Numbers are text.

There are three markets behind one API: KRX and NXT, which trade the same shares in two books, and the United States.
Times are of Seoul but in what the United States' orders are dated by.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from bestex.clock import SECOND
from bestex.messages import Side
from tests.emulators.engine import Market, Snapshot

Json = dict[str, Any]
SEOUL, NEW_YORK = ZoneInfo("Asia/Seoul"), ZoneInfo("America/New_York")
KRX, NXT, US = "KRX", "NXT", "US"
VENUES = {KRX: "kis_krx", NXT: "kis_nxt", US: "kis_us"}
US_EXCHANGES = {"AAPL": "NASD", "TSLA": "NASD", "IBM": "NYSE"}
US_PREFIXES = {"NASD": "DNAS", "NYSE": "DNYS", "AMEX": "DAMS"}
BRANCH = "06010"  # the office that numbers an account's orders, in the lists
FORWARDING = "91252"  # and the one that passes them on, in the answer to an order
LEVELS = 10

# Below the first number a share's price moves in steps of the second, in KRW; from the last one on in 1,000.
TICKS = ((2_000, 1), (5_000, 5), (20_000, 10), (50_000, 50), (200_000, 100), (500_000, 500))
LAST_TICK = 1_000
NEXT_TICKS = (*(tick for _, tick in TICKS[1:]), LAST_TICK)
DOLLARS = (("0", "0.0001"), ("1", "0.01"))
HOURS = {
    KRX: ((time(9), time(15, 30)),),
    NXT: ((time(8), time(8, 50)), (time(9, 0, 30), time(15, 20)), (time(15, 40), time(20))),
    US: ((time(9, 30), time(16)),),
}
SATURDAY = 5


def toml() -> str:
    """The three venues."""
    won = [("0", "1"), *((str(below), str(tick)) for (below, _), tick in zip(TICKS, NEXT_TICKS, strict=True))]
    shares = ""
    for code, price in (("005930", 70_000), ("000660", 190_000), ("003490", 22_000)):
        shares += f"""
[instruments."{code}/KRW"]
start_price = "{price}"
price_scale = 0
qty_scale = 0
venues.kis_krx = {{ ticks = {_listed(won)}, lot = "1", taker_bps = "1.5", maker_bps = "1.5" }}
venues.kis_nxt = {{ ticks = {_listed(won)}, lot = "1", taker_bps = "1.45", maker_bps = "1.45" }}
"""
    for code, price in (("AAPL", 230), ("TSLA", 400), ("IBM", 290)):
        shares += f"""
[instruments."{code}/USD"]
start_price = "{price}"
price_scale = 4
qty_scale = 0
venues.kis_us = {{ ticks = {_listed(DOLLARS)}, lot = "1", taker_bps = "7", maker_bps = "7" }}
"""
    return f'[venues.kis_krx]\n[venues.kis_nxt]\n[venues.kis_us]\n{shares}\n[exchange]\nlatency = "0s"\n'


def _listed(ticks: Sequence[tuple[str, str]]) -> str:
    return "[" + ", ".join(f'["{start}", "{tick}"]' for start, tick in ticks) + "]"


def tick_at(price: int) -> int:
    return next((tick for below, tick in TICKS if price < below), LAST_TICK)


def on_grid(exchange: str, price: Decimal) -> bool:
    if exchange == US:
        return price % (Decimal("0.01") if price >= 1 else Decimal("0.0001")) == 0
    return price == int(price) and int(price) % tick_at(int(price)) == 0


def zone(exchange: str) -> ZoneInfo:
    return NEW_YORK if exchange == US else SEOUL


def at(ns: int, where: ZoneInfo = SEOUL) -> datetime:
    return datetime.fromtimestamp(ns // SECOND, UTC).astimezone(where)


def date(ns: int, where: ZoneInfo = SEOUL) -> str:
    return at(ns, where).strftime("%Y%m%d")


def hour(ns: int, where: ZoneInfo = SEOUL) -> str:
    return at(ns, where).strftime("%H%M%S")


def is_open(exchange: str, ns: int) -> bool:
    now = at(ns, zone(exchange))
    return now.weekday() < SATURDAY and any(opens <= now.time() < closes for opens, closes in HOURS[exchange])


def when(local: str, exchange: str = KRX) -> int:
    """A time where the exchange is, such as 2026-11-30T10:00:00, in ns."""
    moment = datetime.fromisoformat(local).replace(tzinfo=zone(exchange))
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(seconds=1)) * SECOND


def code_of(market: Market) -> str:
    return market.base


def number(value: Decimal | int) -> str:
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def account_number(account: str) -> str:
    """CANO and ACNT_PRDT_CD, with a dash between."""
    if account == "default":
        return "12345678-01"
    return f"{zlib.crc32(account.encode()) % 10**8:08d}-01"


def side_code(side: Side) -> str:
    return "02" if side is Side.BUY else "01"


# -- frames ----------------------------------------------------------------------------------------------------


def frame(tr_id: str, records: Sequence[Sequence[str]], *, key: str = "", iv: str = "") -> str:
    """What the websocket carries: encrypted with `key` where there is one."""
    text = "^".join("^".join(record) for record in records)
    if not key:
        return f"0|{tr_id}|{len(records):03d}|{text}"
    return f"1|{tr_id}|{len(records):03d}|{encrypt(text, key, iv)}"


def encrypt(text: str, key: str, iv: str) -> str:
    padder = PKCS7(128).padder()
    padded = padder.update(text.encode()) + padder.finalize()
    cipher = Cipher(algorithms.AES(key.encode()), modes.CBC(iv.encode())).encryptor()
    return base64.b64encode(cipher.update(padded) + cipher.finalize()).decode()


def book(exchange: str, market: Market, snapshot: Snapshot, ns: int) -> list[str]:
    """H0STASP0 with 59 fields, H0NXASP0 with 63, HDFSASP0 with the best level alone."""
    bids, asks = snapshot.bids[:LEVELS], snapshot.asks[:LEVELS]
    if exchange == US:
        return _us_book(market, snapshot, ns)

    def column(levels: Sequence[tuple[Decimal, Decimal]], which: int) -> list[str]:
        values = [number(level[which]) for level in levels]
        return values + ["0"] * (LEVELS - len(values))

    totals = [number(sum((qty for _, qty in side), Decimal(0))) for side in (asks, bids)]
    fields = [
        code_of(market),
        hour(ns),
        "0",
        *column(asks, 0),
        *column(bids, 0),
        *column(asks, 1),
        *column(bids, 1),
        *totals,
        *["0"] * 14,
    ]
    return fields if exchange == KRX else [*fields, "0", "0", "0", ""]


def _us_book(market: Market, snapshot: Snapshot, ns: int) -> list[str]:
    bid_px, bid_qty = snapshot.bids[0] if snapshot.bids else (Decimal(0), Decimal(0))
    ask_px, ask_qty = snapshot.asks[0] if snapshot.asks else (Decimal(0), Decimal(0))
    return [
        us_key(market),
        code_of(market),
        "4",
        date(ns, NEW_YORK),
        hour(ns, NEW_YORK),
        date(ns),
        hour(ns),
        *(number(one) for one in (bid_qty, ask_qty)),
        "0",
        "0",
        *(number(one) for one in (bid_px, ask_px, bid_qty, ask_qty)),
        "0",
        "0",
    ]


def us_key(market: Market) -> str:
    return US_PREFIXES[US_EXCHANGES[code_of(market)]] + code_of(market)


def trade(
    exchange: str, market: Market, price: Decimal, qty: Decimal, aggressor: int, volume: Decimal, ns: int
) -> list[str]:
    """H0STCNT0 and H0NXCNT0 with 46 fields, HDFSCNT0 with 26. `volume` is the day's until then."""
    best_ask, best_bid = min(market.asks, default=0), max(market.bids, default=0)
    ask, bid = number(market.price(best_ask)), number(market.price(best_bid))
    if exchange == US:
        head = [us_key(market), code_of(market), "4", date(ns, NEW_YORK), date(ns, NEW_YORK)]
        clock = [hour(ns, NEW_YORK), date(ns), hour(ns)]
        prices = [*[number(price)] * 4, "3", "0", "0", bid, ask, "0", "0"]
        return [*head, *clock, *prices, number(qty), number(volume), "0", "0", "0", "0", "1"]
    fields = ["0"] * 46
    fields[0:3] = [code_of(market), hour(ns), number(price)]
    fields[10:14] = [ask, bid, number(qty), number(volume)]
    fields[21] = {1: "1", -1: "5"}.get(aggressor, "3")
    fields[33] = date(ns)
    return fields


def notice(
    exchange: str,
    *,
    user: str,
    account: str,
    order_no: str,
    original_no: str,
    side: Side,
    revised: str,
    kind: str,
    code: str,
    qty: Decimal,
    price: Decimal,
    ns: int,
    refused: bool,
    is_fill: bool,
    accepted: str,
    order_qty: Decimal,
) -> list[str]:
    """H0STCNI0 with 26 fields; H0GSCNI0, whose prices have no point but four digits behind it, with 25. `revised`:
    0 for an order, 1 for an amendment, 2 for a cancel. `accepted`: 1 taken, 2 confirmed, 3 cancelled by its terms.
    Where it is no fill, `qty` is the order's."""
    side_digit, cntg = side_code(side)[-1:].rjust(2, "0"), "2" if is_fill else "1"
    place = account_number(account).replace("-", "")
    if exchange == US:
        scaled = str(int(price * 10_000))
        head = [user, place, order_no, original_no, side_digit, revised, "2", code, number(qty), scaled]
        rest = [hour(ns), "1" if refused else "0", cntg, accepted, BRANCH, number(order_qty), "", code]
        return [*head, *rest, "0", "", "", "", "", "", ""]
    head = [user, place, order_no, original_no, side_digit, revised, kind, "0", code]
    told = [number(qty), number(price), hour(ns), "1" if refused else "0", cntg, accepted, BRANCH]
    venue = "2" if exchange == NXT else "1"
    return [*head, *told, number(order_qty), "", "0", venue, "N", "", "00", "", code, number(price)]
