"""What comes over KIS's websocket, and times of Seoul."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bestex.clock import SECOND
from bestex.kis import frames
from bestex.kis.frames import Data, FrameError
from tests.emulators import kis_wire as wire

KEY, IV = "k" * 32, "i" * 16
NOW_NS = frames.moment("20261130", "100000")


def test_records_are_as_wide_as_the_frame_says_whatever_is_added_to_them() -> None:
    data = frames.parse("0|H0STCNT0|002|a^b^c^d^e^f")
    assert isinstance(data, Data)
    assert data.records() == [["a", "b", "c"], ["d", "e", "f"]]


@pytest.mark.parametrize(
    "text", ["0|H0STCNT0|002|a^b^c", "0|H0STCNT0|000|a", "0|H0STCNT0|x|a", "0|H0STCNT0", "neither", "[1]"]
)
def test_what_is_no_frame_is_an_error(text: str) -> None:
    with pytest.raises(FrameError):
        records_of(text)


def records_of(text: str) -> list[list[str]]:
    data = frames.parse(text)
    assert isinstance(data, Data)
    return data.records()


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        (None, wire.encrypt("a^b", KEY, IV)),
        (("x" * 32, IV), wire.encrypt("a^b" * 9, KEY, IV)),
        (("short", IV), wire.encrypt("a^b", KEY, IV)),
        ((KEY, IV), "no base64"),
        ((KEY, IV), "YWJj"),
    ],
    ids=["no key", "another key", "no key's length", "no base64", "no block"],
)
def test_a_notice_that_does_not_open_is_an_error(secret: Any, text: str) -> None:
    with pytest.raises(FrameError):
        Data("H0STCNI0", True, 1, text).records(secret)


def test_a_notice_is_what_was_encrypted() -> None:
    data = frames.parse(wire.frame("H0STCNI0", [["a", "주문"]], key=KEY, iv=IV))
    assert isinstance(data, Data)
    assert data.records((KEY, IV)) == [["a", "주문"]]


def domestic(**changed: str) -> list[str]:
    fields = "user^1234567801^117057^0000117056^02^0^00^0^005930^10^70000^095959^0^2^2^06010^10^^0^1^N^^00^^X^70000"
    made = fields.split("^")
    assert len(made) == 26
    for place, value in changed.items():
        made[int(place[1:])] = value
    return made


def test_a_fill_of_a_share() -> None:
    told = frames.notice("H0STCNI0", domestic(), NOW_NS)
    assert (told.number, told.original, told.code) == ("0000117057", "0000117056", "005930")
    assert (told.is_fill, told.is_refused, told.qty, told.price) == (
        True,
        False,
        Decimal(10),
        Decimal(70_000),
    )
    assert told.at_ns == NOW_NS - SECOND
    assert frames.notice("H0STCNI9", [*domestic(f12="1", f13="1"), "added"], NOW_NS).is_refused
    for wrong in (domestic()[:-1], domestic(f9="many")):
        with pytest.raises(FrameError):
            frames.notice("H0STCNI0", wrong, NOW_NS)


@pytest.mark.parametrize("price", ["2301000", "230.10"])
def test_prices_of_the_united_states_have_four_digits_with_a_point_or_without(price: str) -> None:
    fields = f"user^1234567801^1^^01^0^2^AAPL^4^{price}^235959^0^2^2^06010^10^^AAPL^0^^^^^^".split("^")
    told = frames.notice("H0GSCNI0", fields, frames.moment("20261201", "000001"))
    assert (told.code, told.qty, told.price) == ("AAPL", Decimal(4), Decimal("230.1"))
    assert frames.date(told.at_ns) == "20261130", "midnight has been meanwhile"


def test_times_are_of_seoul() -> None:
    there = datetime(2026, 11, 30, 9, 0, 30, tzinfo=ZoneInfo("Asia/Seoul"))
    assert frames.moment("20261130", "090030") == int(there.timestamp()) * SECOND
    assert frames.moment("20261130", "90030") == int(there.timestamp()) * SECOND
    assert frames.moment("", "090030") == 0
    assert frames.near("no time", NOW_NS) == NOW_NS
    assert frames.date(NOW_NS, frames.NEW_YORK) == "20261129"
