"""`python -m tests.stubs`: what editors and type checkers see of `bestex`, written from the registry of algorithms.

At run time the names are found when they are used (`bestex/names.py`), and the library imports no service; so the
algorithms' parameters are written into stubs, as people write them. A new algorithm works without: it is just not
typed until this has run.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
import textwrap
from pathlib import Path

from bestex import execution, names, parameters, plugins

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "shared" / "bestex" / "__init__.pyi"
RUN = ROOT / "shared" / "bestex" / "run.pyi"
DOC_COLUMNS = 100
ABBREVIATION_MAX = 4  # letters of a name that is written in capitals too, such as TWAP

_HEAD = """# Written by `python -m tests.stubs` from the registry of algorithms.
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Literal

"""
_OF_ORDER = {
    "symbol": "str",
    "side": 'Side | Literal["buy", "sell"]',
    "qty": "Decimal | str | int",
    "limit_price": "Decimal | str | None",
    "strategy": "str",
    "strategy_params": "Mapping[str, Any] | None",
    "venues": "Sequence[str] | None",
    "account": "str",
    "trigger": "Trigger | Mapping[str, Any] | None",
    "otherwise": "Alternative | Mapping[str, Any] | None",
    "note": "str",
    "parent_id": "str",
    "client": "Works | None",
}


def package() -> str:
    text = _HEAD
    for name, module in sorted(names.HOME.items(), key=lambda item: (item[1], item[0])):
        text += f"from {module} import {name} as {name}\n"
    text += "from bestex.execution import Works\n\n"
    for algo in sorted(plugins.ALGOS):
        text += _class(algo)
    for algo in sorted(plugins.ALGOS):
        text += _function(algo, "async def")
    return _formatted(text + "def __getattr__(name: str) -> Any: ...\n")


def run() -> str:
    text = _HEAD + "from bestex.client import Algorithm\nfrom bestex.execution import Execution, Works\n"
    text += "from bestex.messages import Alternative, Side, Trigger\n\n"
    of_order = ", ".join(_order_argument(name) for name in execution.OF_ORDER[3:])
    first = ", ".join(_order_argument(name) for name in execution.OF_ORDER[:3])
    text += (
        f"def execute({first}, *, algo: str | Algorithm = ..., {of_order}, **params: Any) -> Execution: ...\n"
    )
    for algo in sorted(plugins.ALGOS):
        text += _function(algo, "def")
    return _formatted(text + "def __getattr__(name: str) -> Any: ...\n")


def _class(algo: str) -> str:
    kind = plugins.load(plugins.ALGOS, algo)
    own = ", ".join(map(_argument, parameters.of(plugins.ALGOS, algo)))
    text = f"class {kind.__name__}:\n    {_doc(algo)}\n    name: ClassVar[str]\n"
    text += f"    def __init__(self, *, {own}) -> None: ...\n"
    if len(algo) <= ABBREVIATION_MAX and algo.upper() != kind.__name__:
        text += f"{algo.upper()} = {kind.__name__}\n"
    return text


def _function(algo: str, how: str) -> str:
    known = [one for one in parameters.of(plugins.ALGOS, algo) if one.name not in execution.OF_ORDER]
    arguments = [_order_argument(name) for name in execution.OF_ORDER[:3]]
    arguments += ["*", *map(_argument, known)]
    arguments += [_order_argument(name) for name in execution.OF_ORDER[3:]]
    return f"{how} execute_{algo}({', '.join(arguments)}) -> Execution:\n    {_doc(algo)}\n"


def _argument(one: parameters.Parameter) -> str:
    return f"{one.name}: {parameters.annotation(one)}{'' if one.required else f' = {one.written!r}'}"


def _order_argument(name: str) -> str:
    default = inspect.signature(execution.execute).parameters[name].default
    return f"{name}: {_OF_ORDER[name]}" + ("" if default is inspect.Parameter.empty else f" = {default!r}")


def _doc(algo: str) -> str:
    lines = textwrap.wrap(f'"""{parameters.sentence(plugins.ALGOS, algo)}"""', DOC_COLUMNS)
    return "\n    ".join(lines)


def _formatted(text: str) -> str:
    for command in (["check", "--fix", "--exit-zero", "--quiet"], ["format"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(PACKAGE), "-"]
        text = subprocess.run(ruff, input=text, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return text


if __name__ == "__main__":
    PACKAGE.write_text(package())
    RUN.write_text(run())
