"""`bestex algos` and `bestex strategies`: what can be named in an order, with every parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bestex import parameters as read
from bestex import plugins
from bestex.cli.common import COMMON, Common, console, known, print_json, table

if TYPE_CHECKING:
    from rich.console import Console

    from bestex.parameters import Parameter


def algos(name: str = "", /, *, common: Common = COMMON) -> None:
    """The execution algorithms; with a name, its parameters too.

    bestex algos            all of them, with the idea of each
    bestex algos twap       one of them, with every parameter
    bestex algos --json     all of them, with every parameter
    """
    _show("algorithm", plugins.ALGOS, name, common)


def strategies(name: str = "", /, *, common: Common = COMMON) -> None:
    """The routing strategies; with a name, its parameters too.

    bestex strategies             all of them, with the idea of each
    bestex strategies sweep       one of them, with every parameter
    bestex strategies --json      all of them, with every parameter
    """
    _show("strategy", plugins.STRATEGIES, name, common)


def parameters(registry: dict[str, str], name: str) -> dict[str, dict[str, str]]:
    """Each parameter's type, range, default (as it would be written) and sentence; its own before the shared."""
    return {
        one.name: {
            "type": one.type_name,
            "range": one.range,
            "default": one.default_text,
            "text": one.text,
        }
        for one in read.of(registry, name)
    }


def _show(kind: str, registry: dict[str, str], name: str, common: Common) -> None:
    chosen = [known(kind, name, registry)] if name else sorted(registry)
    if common.json:
        found: dict[str, Any] = {
            one: {"text": read.sentence(registry, one), "parameters": parameters(registry, one)}
            for one in chosen
        }
        print_json(found)
        return
    out = console()
    for one in chosen:
        out.print(f"{one}  {read.sentence(registry, one)}", soft_wrap=True)
    if name:
        every = {"algorithm": "algorithms", "strategy": "strategies"}[kind]
        there = read.of(registry, name)
        own = [parameter for parameter in there if parameter.own]
        shared = [parameter for parameter in there if not parameter.own]
        _show_group("its own", own, out)
        _show_group(f"of all {every}", shared, out)


def _show_group(title: str, group: list[Parameter], out: Console) -> None:
    """One table, as wide in its first columns as the group needs; a column that would be empty is left out."""
    if not group:
        return
    out.print(f"\n{title}:")
    with_range = any(parameter.range for parameter in group)
    rows = table("parameter", "type", *(["range"] if with_range else []), "default", "what it does")
    rows.columns[0].no_wrap = True
    for one in group:
        between = [one.range] if with_range else []
        rows.add_row(one.name, one.type_name, *between, one.default_text, one.text)
    out.print(rows)
