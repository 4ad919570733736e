"""Order tickets as FIXatdl 1.1, the FIX Algorithmic Trading Definition Language (FIX Trading Community, errata of
December 21, 2010): one strategy for each algorithm, with its parameters, their wire tags and types, and a layout with
one control for each parameter.

Symbol, side, quantity and limit price are standard fields of FIX and stand in none of these. The wire values are
what an order's `params` take as they are, but for times (FIX's UTCTimestamp) and booleans (Y and N).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from decimal import Decimal
from xml.etree import ElementTree as Xml

from bestex import fleet, parameters, plugins
from bestex.clock import Time
from bestex.human import Duration, Ratio
from bestex.parameters import Parameter

CORE = "http://www.fixprotocol.org/FIXatdl-1-1/Core"
LAYOUT = "http://www.fixprotocol.org/FIXatdl-1-1/Layout"
VALIDATION = "http://www.fixprotocol.org/FIXatdl-1-1/Validation"
INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_LAYOUT_PREFIX = "lay"  # also in the values of xsi:type, which name types by prefix

# FIX leaves 20000 to 39999 to users without registration. Below are the tags that are chosen; a parameter's own
# follows from its name alone, so that it stays what it is when others come and go.
TAGS = range(20_000, 40_000)
STRATEGY_TAG, VERSION_TAG = 20_000, 20_001
_FIRST_OF_PARAMETERS = 20_002
ABBREVIATION_MAX = 4  # letters of an algorithm's name
# For a parameter whose tag by its name would be another's already: the one that came later is moved to one here.
CHOSEN: dict[str, int] = {}

_TYPES: dict[type | None, str] = {
    Duration: "String_t",
    Ratio: "Percentage_t",
    Time: "UTCTimestamp_t",
    bool: "Boolean_t",
    int: "Int_t",
    float: "Float_t",
    str: "String_t",
}
_CONTROLS = {
    "String_t": "TextField_t",
    "MultipleStringValue_t": "TextField_t",
    "Percentage_t": "SingleSpinner_t",
    "Float_t": "SingleSpinner_t",
    "Int_t": "SingleSpinner_t",
    "Qty_t": "SingleSpinner_t",
    "Price_t": "SingleSpinner_t",
    "PriceOffset_t": "SingleSpinner_t",
    "UTCTimestamp_t": "Clock_t",
    "Boolean_t": "CheckBox_t",
}
_INCREMENTS = {"Qty_t": "LotSize", "Price_t": "Tick", "PriceOffset_t": "Tick"}


def document(algos: Iterable[str]) -> str:
    """The XML of these algorithms' strategies. UsageError for an unknown one."""
    Xml.register_namespace("", CORE)
    Xml.register_namespace(_LAYOUT_PREFIX, LAYOUT)
    Xml.register_namespace("val", VALIDATION)
    Xml.register_namespace("xsi", INSTANCE)
    root = Xml.Element(
        _core("Strategies"),
        {"strategyIdentifierTag": str(STRATEGY_TAG), "versionIdentifierTag": str(VERSION_TAG)},
    )
    for algo in algos:
        root.append(_strategy(algo))
    Xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def tag(name: str) -> int:
    """The user-defined tag of a parameter, the same wherever it stands."""
    if name in CHOSEN:
        return CHOSEN[name]
    digest = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
    return _FIRST_OF_PARAMETERS + digest % (TAGS.stop - _FIRST_OF_PARAMETERS)


def fix_type(one: Parameter) -> str:
    """The FIXatdl type. Decimals are prices, offsets of prices, or quantities, by their names."""
    if one.choices:
        return "String_t"
    if one.kind is Decimal:
        words = one.name.split("_")
        return "PriceOffset_t" if "offset" in words else "Price_t" if "price" in words else "Qty_t"
    return _TYPES.get(one.kind, "MultipleStringValue_t")


def _strategy(algo: str) -> Xml.Element:
    known = parameters.of(plugins.ALGOS, algo)
    strategy = Xml.Element(
        _core("Strategy"),
        {
            "name": algo,
            "uiRep": _title(algo),
            "wireValue": algo,
            "version": fleet.package_version(),
            "fixMsgType": "D",
            "providerID": "bestex",
        },
    )
    Xml.SubElement(strategy, _core("Description")).text = parameters.sentence(plugins.ALGOS, algo)
    for one in known:
        strategy.append(_parameter(one))
    layout = Xml.SubElement(strategy, _layout("StrategyLayout"))
    whole = Xml.SubElement(
        layout, _layout("StrategyPanel"), {"orientation": "VERTICAL", "collapsible": "false"}
    )
    for title, own in ((_title(algo), True), ("All algorithms", False)):
        group = [one for one in known if one.own is own]
        if group:
            panel = Xml.SubElement(
                whole, _layout("StrategyPanel"), {"title": title, "orientation": "VERTICAL", "border": "Line"}
            )
            panel.extend(map(_control, group))
    if plugins.load(plugins.ALGOS, algo).needs_limit:
        rule = _rule(strategy, f"{algo} needs a limit price")
        Xml.SubElement(rule, _validation("Edit"), {"field": "FIX_Price", "operator": "EX"})
    if {"start_time", "end_time"} <= {one.name for one in known}:
        rule = _rule(strategy, "end_time must be after start_time")
        either = Xml.SubElement(rule, _validation("Edit"), {"logicOperator": "OR"})
        for name in ("start_time", "end_time"):
            Xml.SubElement(either, _validation("Edit"), {"field": name, "operator": "NX"})
        later = {"field": "end_time", "operator": "GT", "field2": "start_time"}
        Xml.SubElement(either, _validation("Edit"), later)
    return strategy


def _rule(strategy: Xml.Element, said: str) -> Xml.Element:
    """What holds over several fields, as the scheduler checks it too."""
    return Xml.SubElement(strategy, _validation("StrategyEdit"), {"errorMessage": said})


def _parameter(one: Parameter) -> Xml.Element:
    kind = fix_type(one)
    made = Xml.Element(
        _core("Parameter"),
        {
            "name": one.name,
            f"{{{INSTANCE}}}type": kind,
            "fixTag": str(tag(one.name)),
            "use": "required" if one.required else "optional",
            "mutableOnCxlRpl": "true",  # every parameter may be changed while the order works
            **_bounds(one, kind),
        },
    )
    Xml.SubElement(made, _core("Description")).text = one.text
    for choice in one.choices:
        Xml.SubElement(made, _core("EnumPair"), {"enumID": _enum_id(choice), "wireValue": choice})
    return made


def _bounds(one: Parameter, kind: str) -> dict[str, str]:
    """FIXatdl's bounds may be reached. Of numbers that may not reach theirs only a whole one has a nearest; the
    others' stand in the description alone, and in the scheduler."""
    found = {}
    for name, bound, step in (("minValue", one.low, 1), ("maxValue", one.high, -1)):
        if bound is None or kind not in ("Int_t", "Float_t", "Percentage_t", "Qty_t", "Price_t"):
            continue
        value, reached = bound
        if reached:
            found[name] = f"{value:.10g}"
        elif kind == "Int_t":
            found[name] = f"{value + step:.10g}"
    return found


def _control(one: Parameter) -> Xml.Element:
    kind = fix_type(one)
    shape = "DropDownList_t" if one.choices else _CONTROLS[kind]
    made = Xml.Element(
        _layout("Control"),
        {
            f"{{{INSTANCE}}}type": f"{_LAYOUT_PREFIX}:{shape}",
            "ID": f"c_{one.name}",
            "label": _label(one.name),
            "tooltip": one.text,
            "parameterRef": one.name,
        },
    )
    if kind in _INCREMENTS:
        made.set("incrementPolicy", _INCREMENTS[kind])
    if (initial := _initial(one)) is not None:
        made.set("initValue", initial)
    for choice in one.choices:
        Xml.SubElement(made, _layout("ListItem"), {"enumID": _enum_id(choice), "uiRep": _label(choice)})
    return made


def _initial(one: Parameter) -> str | None:
    """The default as the control holds it; None where nothing is chosen at first."""
    if one.default is None or one.kind is Time:
        return None
    if one.choices:
        return _enum_id(str(one.written))
    if one.kind is Ratio:
        return f"{float(one.default):.10g}"
    return one.default_text


def _enum_id(choice: str) -> str:
    """Identifiers are of letters, digits and underscores."""
    return "e_" + "".join(letter if letter.isalnum() else "_" for letter in choice)


def _title(algo: str) -> str:
    """Short names are abbreviations, as traders write them."""
    return algo.upper() if len(algo) <= ABBREVIATION_MAX else _label(algo)


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _core(name: str) -> str:
    return f"{{{CORE}}}{name}"


def _validation(name: str) -> str:
    return f"{{{VALIDATION}}}{name}"


def _layout(name: str) -> str:
    return f"{{{LAYOUT}}}{name}"
