"""KIS's websocket, by word: what is sent, what comes, and how notices are read. Pure.

A data frame is `enc|tr_id|count|a^b^...`: `count` records in one row of fields, so that the width of one is the
number of fields through `count`; fields may be added at the end of a record. Notices are encrypted with AES-256-CBC.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from bestex.clock import DAY, SECOND

SEOUL = ZoneInfo("Asia/Seoul")
NEW_YORK = ZoneInfo("America/New_York")
SCALED_DIGITS = 4  # behind the point that prices of the United States have not in notices
RECORDS_MAX = 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FrameError(ValueError):
    """It is not what the protocol says."""


class Data(NamedTuple):
    """One data frame: its records, which are still one text where they are encrypted."""

    tr_id: str
    is_encrypted: bool
    size: int
    text: str

    def records(self, secret: tuple[str, str] | None = None) -> list[list[str]]:
        """Each with its fields. `secret`: (key, iv). FrameError."""
        text = self.text
        if self.is_encrypted:
            if secret is None:
                raise FrameError(f"{self.tr_id} is encrypted, and no key is known")
            text = decrypt(text, *secret)
        fields = text.split("^")
        if not 0 < self.size <= RECORDS_MAX or len(fields) % self.size:
            raise FrameError(f"{self.tr_id}: {len(fields)} fields in {self.size} records")
        width = len(fields) // self.size
        return [fields[start : start + width] for start in range(0, len(fields), width)]


def parse(text: str) -> Data | dict[str, Any]:
    """A data frame, or a message in JSON. FrameError."""
    if text[:1] in ("0", "1"):
        parts = text.split("|", 3)
        if len(parts) != 4 or not parts[2].isdigit():
            raise FrameError("a frame without its four parts")
        return Data(parts[1], parts[0] == "1", int(parts[2]), parts[3])
    try:
        message = json.loads(text)
    except ValueError:
        raise FrameError("neither data nor JSON") from None
    if not isinstance(message, dict):
        raise FrameError("JSON that is no object")
    return message


def decrypt(text: str, key: str, iv: str) -> str:
    """FrameError where it was not encrypted so."""
    try:
        raw = base64.b64decode(text, validate=True)
        opener = Cipher(algorithms.AES(key.encode()), modes.CBC(iv.encode())).decryptor()
        padded = opener.update(raw) + opener.finalize()
        unpadder = PKCS7(128).unpadder()
        return (unpadder.update(padded) + unpadder.finalize()).decode()
    except (ValueError, binascii.Error):
        raise FrameError("a notice that its key does not open") from None


def subscription(approval: str, tr_id: str, tr_key: str, *, on: bool = True) -> str:
    header = {
        "approval_key": approval,
        "custtype": "P",
        "tr_type": "1" if on else "2",
        "content-type": "utf-8",
    }
    return json.dumps({"header": header, "body": {"input": {"tr_id": tr_id, "tr_key": tr_key}}})


class Notice(NamedTuple):
    """What happened to an order of the account. `qty` and `price` are of this fill alone; `at_ns` is in whole
    seconds."""

    number: str
    original: str
    code: str
    is_fill: bool
    is_refused: bool
    is_over: bool  # its terms have ended it (IOC, FOK)
    qty: Decimal
    price: Decimal
    at_ns: int


def notice(tr_id: str, fields: list[str], now_ns: int) -> Notice:
    """H0STCNI0 or 9 with 26 fields, H0GSCNI0 or 9 with 25. FrameError."""
    us = tr_id.startswith("H0GS")
    first = 8 if us else 9  # the quantity; the ones after it are the same
    if len(fields) < (18 if us else 26):
        raise FrameError(f"{tr_id} with {len(fields)} fields")
    try:
        qty, price = Decimal(fields[first] or 0), Decimal(fields[first + 1] or 0)
    except InvalidOperation:
        raise FrameError(f"{tr_id}: {fields[first]!r} and {fields[first + 1]!r} are no numbers") from None
    if us and "." not in fields[first + 1]:
        price = price.scaleb(-SCALED_DIGITS)
    return Notice(
        number=order_number(fields[2]),
        original=order_number(fields[3]),
        code=fields[first - 1].strip(),
        is_fill=fields[first + 4] == "2",
        is_refused=fields[first + 3] == "1",
        is_over=fields[first + 5] == "3",
        qty=qty,
        price=price,
        at_ns=near(fields[first + 2], now_ns),
    )


def order_number(text: Any) -> str:
    """With its zeros, as it is called everywhere; empty for none."""
    stripped = str(text or "").strip().lstrip("0")
    return stripped.rjust(10, "0") if stripped else ""


# -- time ------------------------------------------------------------------------------------------------------


def date(ns: int, zone: ZoneInfo = SEOUL) -> str:
    """Such as 20261130."""
    return datetime.fromtimestamp(ns // SECOND, UTC).astimezone(zone).strftime("%Y%m%d")


def moment(day: str, hour: str, zone: ZoneInfo = SEOUL) -> int:
    """ns of 20261130 and 090000 there; 0 where they are no time."""
    try:
        there = datetime.strptime(day.strip() + hour.strip()[:6].rjust(6, "0"), "%Y%m%d%H%M%S")
    except ValueError:
        return 0
    return int((there.replace(tzinfo=zone) - _EPOCH) / timedelta(seconds=1)) * SECOND


def near(hour: str, now_ns: int) -> int:
    """The time of day in Seoul that is nearest to now: midnight may lie between. `now_ns` where it is none."""
    at_ns = moment(date(now_ns), hour)
    if not at_ns:
        return now_ns
    return min((at_ns - DAY, at_ns, at_ns + DAY), key=lambda one: abs(one - now_ns))
