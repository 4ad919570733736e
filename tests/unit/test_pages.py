"""What the pages say of the contract and of the library is what the code does."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import get_args

import pytest

from bestex import subjects
from bestex.subjects import Plane

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "ARCHITECTURE.md").read_text()


def expanded(pattern: str) -> list[str]:
    """`a.{b,c}` as `a.b` and `a.c`."""
    parts = re.split(r"\{([^}]*)\}", pattern)
    choices = [[part] if i % 2 == 0 else part.split(",") for i, part in enumerate(parts)]
    return ["".join(chosen) for chosen in product(*choices)]


def table() -> set[tuple[str, str, str]]:
    """(pattern, plane, stream) of every row of the page's table of subjects."""
    rows = re.findall(r"^\| (`.*`) \| ([^|]*) \| ([^|]*)\|", PAGE, re.M)
    return {
        (pattern, plane.partition(",")[0].strip(), stream.strip(" `").replace("<", "{").replace(">", "}"))
        for patterns, plane, stream in rows
        for text in re.findall(r"`([^`]*)`", patterns)
        for pattern in expanded(text)
    }


def test_the_table_of_subjects_is_that_of_the_code() -> None:
    stated = {row for row in table() if row[1] in (Plane.DURABLE, Plane.LIVE)}
    assert stated == {
        (row.pattern, row.plane, row.stream) for row in subjects.TABLE if row.plane is not Plane.REQUEST
    }


@pytest.mark.parametrize(
    ("name", "union"),
    [
        ("parent", subjects.ParentEvents),
        ("route", subjects.RouteEvents),
        ("exec", subjects.ExecEvents),
    ],
)
def test_the_events_are_those_of_the_code(name: str, union: object) -> None:
    listed = PAGE[PAGE.index("Events: parent") :].partition(f"{name} `")[2].partition("`")[0]
    assert set(re.split(r",\s+", listed)) == {kind.__struct_config__.tag for kind in get_args(union)}


def test_every_module_of_the_library_has_its_place() -> None:
    folder = ROOT / "shared" / "bestex"
    page = (folder / "README.md").read_text()
    parts = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
    parts += [f"{path.parent.name}/" for path in folder.glob("*/__init__.py")]
    assert [part for part in sorted(parts) if f"`{part}`" not in page] == []
