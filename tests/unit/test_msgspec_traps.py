"""What msgspec takes by itself, and that the intake does not take it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import msgspec
import pytest

from bestex.errors import Code
from tests.unit.scheduler.bench_core import Bench

ORDER = b'{"parent_id":"p1","side":"buy","qty":%s}'


def code_of(body: bytes) -> Code:
    """With which code the intake refuses this order."""
    [refusal] = Bench().order(data=body)
    return Code(refusal.code)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999999", "-1"])
def test_a_decimal_may_be_no_number_of_this_world_and_the_intake_refuses_it(text: str) -> None:
    assert msgspec.json.decode(f'"{text}"', type=Decimal) is not None
    with pytest.raises(TypeError):
        msgspec.json.Decoder(Annotated[Decimal, msgspec.Meta(gt=0)])
    assert code_of(ORDER % f'"{text}"'.encode()) in (Code.NOT_FINITE, Code.OFF_LOT, Code.INVALID_QTY)


def test_a_pattern_with_a_dollar_passes_a_line_feed_and_ids_do_not() -> None:
    loose = Annotated[str, msgspec.Meta(pattern="^[a-z0-9]{1,32}$")]
    assert msgspec.json.decode(b'"p1\\n"', type=loose) == "p1\n"
    assert code_of(b'{"parent_id":"p1\\n","side":"buy","qty":"1"}') is Code.INVALID_ID


def test_of_a_key_that_stands_twice_the_last_wins_and_the_intake_refuses_it() -> None:
    assert msgspec.json.decode(b'{"qty":1,"qty":2}', type=dict[str, int]) == {"qty": 2}
    assert code_of(b'{"parent_id":"p1","side":"buy","qty":"1","qty":"2"}') is Code.MALFORMED


def test_deep_nesting_raises_what_no_validation_error_is_and_the_intake_refuses_it() -> None:
    deep = b"[" * 30_000 + b"]" * 30_000
    with pytest.raises(RecursionError):
        msgspec.json.decode(deep)
    assert (
        code_of(b'{"parent_id":"p1","side":"buy","qty":"1","params":{"x":' + deep + b"}}") is Code.MALFORMED
    )
