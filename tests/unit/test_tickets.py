"""Tickets for other user interfaces: JSON Schema that takes what the scheduler takes, and FIXatdl documents."""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal
from xml.etree import ElementTree as Xml

import jsonschema
import pytest

from bestex import codec, fixatdl, parameters, plugins, tickets
from bestex.human import Duration, Ratio
from bestex.messages import ParentOrder
from tests.unit.scheduler.examples import EXAMPLES

IN_ATDL = {"": fixatdl.CORE, "lay": fixatdl.LAYOUT, "val": fixatdl.VALIDATION}
TYPE = f"{{{fixatdl.INSTANCE}}}type"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,255}")  # of strategies, parameters, controls and enumerations

# Which controls can hold which types.
FITS = {
    "TextField_t": {"String_t", "MultipleStringValue_t"},
    "SingleSpinner_t": {"Int_t", "Float_t", "Percentage_t", "Qty_t", "Price_t", "PriceOffset_t"},
    "DropDownList_t": {"String_t"},
    "CheckBox_t": {"Boolean_t"},
    "Clock_t": {"UTCTimestamp_t"},
}


def order(algo: str, **params: object) -> dict[str, object]:
    body: dict[str, object] = {"symbol": "BTC/USDT", "side": "buy", "qty": "1", "algo": algo}
    if plugins.load(plugins.ALGOS, algo).needs_limit:
        body["limit_price"] = "60000"
    return {**body, "params": params}


@pytest.mark.parametrize("algo", plugins.ALGOS)
def test_a_schema_is_one_and_takes_orders_that_the_messages_take(algo: str) -> None:
    schema = tickets.json_schema(algo)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for example in EXAMPLES[algo]:
        of_order = {name: value for name, value in example.items() if name in ParentOrder.__struct_fields__}
        params = {
            name: _as_text(algo, name, value) for name, value in example.items() if name not in of_order
        }
        body = {**order(algo, **params), **of_order}
        assert list(validator.iter_errors(body)) == []
        codec.convert(body, ParentOrder)
        codec.convert(params, plugins.load(plugins.ALGOS, algo))


def _as_text(algo: str, name: str, value: object) -> object:
    """Shares, durations and decimals as a ticket writes them, not as a program may."""
    kind = next(one.kind for one in parameters.of(plugins.ALGOS, algo) if one.name == name)
    return str(value) if kind in (Ratio, Duration, Decimal) else value


@pytest.mark.parametrize("algo", plugins.ALGOS)
def test_a_schema_says_of_each_parameter_what_it_is_and_what_it_is_by_default(algo: str) -> None:
    found = tickets.json_schema(algo)["properties"]["params"]
    known = parameters.of(plugins.ALGOS, algo)
    assert list(found["properties"]) == [one.name for one in known]
    for one in known:
        part = found["properties"][one.name]
        assert part["description"].startswith(one.text)
        assert part.get("default") == one.written
        listed: list[str] = next(
            (each["enum"] for each in (part, *part.get("anyOf", ())) if "enum" in each), []
        )
        assert tuple(listed) == one.choices
        if not one.required:
            jsonschema.validate(one.written, part)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"slices": -1}, "minimum"),
        ({"duration": "soon"}, "does not match"),
        ({"catch_up": "half"}, "does not match"),
        ({"urgency": "hihg"}, "hihg"),
        ({"durration": "5m"}, "durration"),
    ],
)
def test_what_the_scheduler_would_refuse_in_form_the_schema_refuses(
    change: dict[str, object], told: str
) -> None:
    with pytest.raises(jsonschema.ValidationError, match=told):
        jsonschema.validate(order("twap", **change), tickets.json_schema("twap"))


def test_an_order_needs_its_limit_where_the_algorithm_does() -> None:
    body = order("limit")
    jsonschema.validate(body, tickets.json_schema("limit"))
    del body["limit_price"]
    with pytest.raises(jsonschema.ValidationError, match="limit_price"):
        jsonschema.validate(body, tickets.json_schema("limit"))


@pytest.mark.parametrize("text", ["250ms", "90s", "1h30m", "2d", "1.5h", "30"])
def test_the_pattern_of_durations_takes_what_is_one(text: str) -> None:
    assert re.search(tickets.DURATION, text)
    assert Duration.parse(text) > 0


@pytest.mark.parametrize("text", ["", "5", "-1s", "5 m", "m", "5m ", "1w"])
def test_the_patterns_and_the_parsers_agree(text: str) -> None:
    for pattern, kind in ((tickets.DURATION, Duration), (tickets.RATIO, Ratio)):
        try:
            kind.parse(text)
        except ValueError:
            assert not re.search(pattern, text)
        else:
            assert re.search(pattern, text)


# -- FIXatdl 1.1 -----------------------------------------------------------------------------------------------


def strategies() -> dict[str, Xml.Element]:
    root = Xml.fromstring(fixatdl.document(plugins.ALGOS))
    assert root.tag == f"{{{fixatdl.CORE}}}Strategies"
    return {one.attrib["name"]: one for one in root.findall("Strategy", IN_ATDL)}


def test_a_document_holds_every_strategy_and_names_its_own_tags() -> None:
    root = Xml.fromstring(fixatdl.document(plugins.ALGOS))
    assert list(strategies()) == list(plugins.ALGOS)
    own = {int(root.attrib[name]) for name in ("strategyIdentifierTag", "versionIdentifierTag")}
    assert len(own) == 2
    assert own <= set(fixatdl.TAGS)
    for one in strategies().values():
        assert {"uiRep", "wireValue", "version", "fixMsgType"} <= set(one.attrib)


@pytest.mark.parametrize("algo", plugins.ALGOS)
def test_every_parameter_stands_once_with_one_control_that_can_hold_it(algo: str) -> None:
    strategy = strategies()[algo]
    found = strategy.findall("Parameter", IN_ATDL)
    types = {one.attrib["name"]: one.attrib[TYPE] for one in found}
    assert [one.attrib["name"] for one in found] == [one.name for one in parameters.of(plugins.ALGOS, algo)]
    [layout] = strategy.findall("lay:StrategyLayout", IN_ATDL)
    assert len(layout.findall("lay:StrategyPanel", IN_ATDL)) == 1
    controls = layout.findall(".//lay:Control", IN_ATDL)
    assert Counter(one.attrib["parameterRef"] for one in controls) == Counter(list(types))
    assert len({one.attrib["ID"] for one in controls}) == len(controls)
    for one in controls:
        prefix, _, shape = one.attrib[TYPE].partition(":")
        assert prefix == "lay"
        assert types[one.attrib["parameterRef"]] in FITS[shape]
        assert NAME.fullmatch(one.attrib["ID"])


@pytest.mark.parametrize("algo", plugins.ALGOS)
def test_panels_hold_panels_or_controls_and_never_both(algo: str) -> None:
    for panel in strategies()[algo].iter(f"{{{fixatdl.LAYOUT}}}StrategyPanel"):
        assert len({child.tag for child in panel}) == 1


@pytest.mark.parametrize("algo", plugins.ALGOS)
def test_the_parts_of_a_strategy_stand_in_the_order_of_the_schema(algo: str) -> None:
    order_of = ["Description", "Parameter", "StrategyLayout", "StrategyEdit"]
    found = [order_of.index(child.tag.partition("}")[2]) for child in strategies()[algo]]
    assert found == sorted(found)


@pytest.mark.parametrize("algo", plugins.ALGOS)
def test_choices_are_pairs_that_the_control_lists_and_begins_with(algo: str) -> None:
    strategy = strategies()[algo]
    controls = {one.attrib["parameterRef"]: one for one in strategy.iter(f"{{{fixatdl.LAYOUT}}}Control")}
    for one in parameters.of(plugins.ALGOS, algo):
        [made] = [p for p in strategy.findall("Parameter", IN_ATDL) if p.attrib["name"] == one.name]
        pairs = {
            pair.attrib["enumID"]: pair.attrib["wireValue"] for pair in made.findall("EnumPair", IN_ATDL)
        }
        listed = [item.attrib["enumID"] for item in controls[one.name].findall("lay:ListItem", IN_ATDL)]
        assert tuple(pairs.values()) == one.choices
        assert listed == list(pairs)
        assert all(map(NAME.fullmatch, pairs))
        if one.choices and one.default is not None:
            assert pairs[controls[one.name].attrib["initValue"]] == one.written


def test_types_bounds_and_defaults_are_mapped() -> None:
    strategy = strategies()["twap"]
    found = {one.attrib["name"]: one for one in strategy.findall("Parameter", IN_ATDL)}
    controls = {one.attrib["parameterRef"]: one for one in strategy.iter(f"{{{fixatdl.LAYOUT}}}Control")}
    types = {name: one.attrib[TYPE] for name, one in found.items()}
    expected = {
        "slices": "Int_t",
        "interval": "String_t",
        "start_time": "UTCTimestamp_t",
        "randomize": "Percentage_t",
        "would_price": "Price_t",
        "max_slice": "Qty_t",
        "force_completion": "Boolean_t",
        "urgency": "String_t",
    }
    assert {name: types[name] for name in expected} == expected
    assert (found["slices"].attrib["minValue"], found["slices"].attrib["maxValue"]) == ("0", "10000")
    shown = {name: control.attrib.get("initValue") for name, control in controls.items()}
    assert (shown["randomize"], shown["interval"], shown["force_completion"]) == ("0.2", "10s", "false")
    assert shown["would_price"] is None
    assert found["duration"].findtext("Description", "", IN_ATDL) == "How long to work."


def test_a_bound_that_may_not_be_reached_is_the_next_whole_number_or_none() -> None:
    here = {"example": "tests.unit.test_parameters:Example"}
    [count] = [one for one in parameters.of(here, "example") if one.name == "count"]
    assert fixatdl._bounds(count, "Int_t") == {"minValue": "1", "maxValue": "8"}
    assert fixatdl._bounds(count, "Float_t") == {"minValue": "1"}


def test_tags_are_in_the_user_s_range_unique_and_stay_what_they_are() -> None:
    every = {one.name for algo in plugins.ALGOS for one in parameters.of(plugins.ALGOS, algo)}
    tags = {name: fixatdl.tag(name) for name in every}
    own = {fixatdl.STRATEGY_TAG, fixatdl.VERSION_TAG}
    assert len({*tags.values(), *own}) == len(tags) + 2, "one of them needs a line in fixatdl.CHOSEN"
    assert set(tags.values()) <= set(fixatdl.TAGS)
    assert (tags["duration"], tags["slices"], tags["urgency"]) == (26200, 21313, 26470)


def test_what_holds_over_several_fields_is_a_rule() -> None:
    rules = {
        algo: [rule.attrib["errorMessage"] for rule in one.findall("val:StrategyEdit", IN_ATDL)]
        for algo, one in strategies().items()
    }
    assert "limit needs a limit price" in rules["limit"]
    assert rules["twap"] == ["end_time must be after start_time"]
