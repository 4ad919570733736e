"""A build is the same wherever its code is, and another one as soon as a message is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from types import ModuleType

import pytest

from bestex import fleet, messages

SOURCE = """
from __future__ import annotations
from enum import StrEnum
import msgspec

class Side(StrEnum):
    BUY = "buy"

class Base(msgspec.Struct, frozen=True, tag_field="event"):
    symbol: str

class Order(Base, frozen=True, tag="order"):
    qty: int
    price: int | None = None
    note: str = ""
"""


def lines(source: str) -> list[str]:
    module = ModuleType("made")
    module.__dict__["__name__"] = "made"
    sys.modules["made"] = module
    exec(compile(source, "made", "exec"), module.__dict__)
    return list(fleet.lines(module))


def test_a_build_names_the_version_and_the_shape_of_the_messages() -> None:
    assert re.fullmatch(r".+\+[0-9a-f]{10}", fleet.build())
    assert any(line.startswith("ChildNew ") and "slice_build" in line for line in fleet.lines(messages))


def test_another_process_with_other_hash_seeds_is_of_the_same_build() -> None:
    program = "from bestex import fleet; print(fleet.build())"
    for seed in ("1", "2"):
        outcome = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert outcome.stdout.strip() == fleet.build()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    qty: int\n", "    qty: int\n    more: int = 0\n"),
        ("price: int | None", "price: float | None"),
        ('note: str = ""', 'note: str = "x"'),
        ('tag="order"', 'tag="new"'),
        ("    symbol: str\n", "    name: str\n"),
        ('BUY = "buy"', 'BUY = "b"'),
        ("frozen=True, tag=", "frozen=True, array_like=True, tag="),
    ],
)
def test_whatever_can_be_seen_on_the_wire_is_part_of_it(old: str, new: str) -> None:
    assert old in SOURCE
    assert lines(SOURCE) != lines(SOURCE.replace(old, new))


def test_what_cannot_be_seen_on_the_wire_is_no_part_of_it() -> None:
    documented = SOURCE.replace("    qty: int\n", '    """How much."""\n\n    qty: int\n')
    assert documented != SOURCE
    assert lines(documented) == lines(SOURCE)
