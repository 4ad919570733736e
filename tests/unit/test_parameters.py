"""What is read off the structs of algorithms and strategies."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta

from bestex import parameters, plugins
from bestex.clock import Time
from bestex.human import Duration, Ratio
from bestex.parameters import annotation

EVERY = [(plugins.ALGOS, name) for name in plugins.ALGOS] + [
    (plugins.STRATEGIES, name) for name in plugins.STRATEGIES
]


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Base(msgspec.Struct, frozen=True, kw_only=True):
    until: Annotated[Time | None, Meta(description="When it ends.")] = None
    pace: Annotated[Duration, Meta(description="How fast.")] = Duration.parse("5m")


class Example(Base, frozen=True, kw_only=True):
    """One sentence
    over two lines.

    And more.
    """

    pace: Duration = Duration.parse("10s")
    level: Annotated[Literal["low", "high", "any"] | None, Meta(description="How much.")] = None
    colour: Annotated[Colour, Meta(description="Which.")] = Colour.BLUE
    count: Annotated[int, Meta(ge=1, lt=9, description="How often.")]
    share: Annotated[Ratio, Meta(description="Of it.", extra={"range": "up to 40%"})] = Ratio(0.2)
    fast: Annotated[bool, Meta(description="Whether.")] = False


HERE = {"example": f"{__name__}:Example"}


def example() -> dict[str, parameters.Parameter]:
    return {one.name: one for one in parameters.of(HERE, "example")}


@pytest.mark.parametrize(
    ("registry", "name"), EVERY, ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_parameter_of_every_registered_name_is_described(registry: dict[str, str], name: str) -> None:
    assert parameters.sentence(registry, name).endswith(".")
    for one in parameters.of(registry, name):
        assert one.text.endswith("."), one.name
        assert one.type_name, one.name
        assert annotation(one) != "Any", one.name


def test_its_own_stand_before_those_that_all_take() -> None:
    assert list(example()) == ["level", "colour", "count", "share", "fast", "until", "pace"]
    assert [one.name for one in example().values() if not one.own] == ["until", "pace"]


def test_a_changed_default_keeps_the_sentence_of_the_class_above() -> None:
    pace = example()["pace"]
    assert (pace.text, pace.default_text) == ("How fast.", "10s")


def test_choices_stand_in_the_order_in_which_they_were_written() -> None:
    found = example()
    assert found["level"].choices == ("low", "high", "any")
    assert found["colour"].choices == ("red", "blue")
    assert found["level"].type_name == "low or high or any"
    assert found["count"].choices == ()


def test_kinds_bounds_and_defaults_are_those_of_the_struct() -> None:
    found = example()
    kinds = [found[name].kind for name in ("until", "pace", "count", "share", "fast")]
    assert kinds == [Time, Duration, int, Ratio, bool]
    assert (found["count"].low, found["count"].high) == ((1, True), (9, False))
    assert found["count"].range == "1 or more, below 9"
    assert found["share"].range == "up to 40%"
    assert found["count"].required
    assert found["until"].optional
    assert [found[name].default_text for name in ("share", "fast", "colour", "until")] == [
        "20%",
        "false",
        "blue",
        "",
    ]


def test_python_sees_what_a_person_may_write() -> None:
    found = {name: annotation(one) for name, one in example().items()}
    assert found["until"] == "str | datetime | None"
    assert found["level"] == "Literal['low', 'high', 'any'] | None"
    assert found["share"] == found["pace"] == "str | float"


def test_the_sentence_is_the_first_paragraph_in_one_line() -> None:
    assert parameters.sentence(HERE, "example") == "One sentence over two lines."


def test_a_decimal_is_written_exactly() -> None:
    [one] = [one for one in parameters.of(plugins.ALGOS, "twap") if one.name == "min_slice"]
    assert one.kind is Decimal
    assert annotation(one) == "Decimal | str | int | None"
