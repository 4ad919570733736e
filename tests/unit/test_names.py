"""What users import by name."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import bestex
from bestex import execution, names, parameters, plugins, run
from bestex.errors import UsageError
from tests import stubs


@pytest.mark.parametrize("algo", plugins.ALGOS)
def test_every_registered_algorithm_is_imported_by_its_name_in_any_spelling(algo: str) -> None:
    kind = plugins.load(plugins.ALGOS, algo)
    camel = "".join(part.capitalize() for part in algo.split("_"))
    for spelling in (algo.upper(), algo.capitalize(), camel, kind.__name__):
        assert getattr(bestex, spelling) is kind
    assert kind.__doc__
    assert kind.__name__ in dir(bestex)


@pytest.mark.parametrize("algo", plugins.ALGOS)
def test_every_algorithm_has_a_function_with_its_parameters_and_their_sentences(algo: str) -> None:
    function = getattr(bestex, f"execute_{algo}")
    assert inspect.iscoroutinefunction(function)
    assert function.__name__ == f"execute_{algo}"
    shown = inspect.signature(function).parameters
    assert list(shown)[:3] == ["symbol", "side", "qty"]
    assert {"limit_price", "venues", "strategy", "parent_id", "client"} <= set(shown)
    for one in parameters.of(plugins.ALGOS, algo):
        assert one.name in shown
        assert f"{one.name}: {one.text}" in function.__doc__
        assert one.required or one.name in execution.OF_ORDER or shown[one.name].default == one.written


async def test_a_mistyped_parameter_is_named_before_anything_is_sent() -> None:
    with pytest.raises(TypeError, match=r"execute_twap\(\) .*'durration'"):
        await bestex.names.find("execute_twap")("BTC/USDT", "buy", "1", durration="5m")
    with pytest.raises(UsageError, match="buy or sell"):
        await bestex.execute_twap("BTC/USDT", "bye", "1")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="a float is not exact"):
        await bestex.execute("BTC/USDT", "buy", 0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["Twop", "execute_twop", "twap", "executed"])
def test_what_there_is_not_is_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match=name):
        names.find(name)
    with pytest.raises(AttributeError, match=name):
        getattr(run, name)


def test_an_abbreviation_and_its_class_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plugins.ALGOS, "ml", "services.scheduler.algos.limit:MostLikely")
    assert names.algorithm("ML") == names.algorithm("MostLikely") == "ml"
    assert names.algorithm("Limit") == "limit"


def test_a_class_of_two_words_is_found_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plugins.ALGOS, "two_words", plugins.ALGOS["twap"])
    assert names.algorithm("TwoWords") == names.algorithm("TWO_WORDS") == "two_words"


async def test_the_blocking_functions_say_what_to_write_where_a_loop_is_running() -> None:
    with pytest.raises(UsageError, match=r"await bestex\.execute_twap"):
        run.execute_twap("BTC/USDT", "buy", "1")


def test_the_blocking_functions_show_the_same_signature() -> None:
    assert inspect.signature(run.execute_limit) == inspect.signature(bestex.execute_limit)


def test_importing_bestex_imports_nothing_else() -> None:
    code = "import sys, bestex; print(sorted({'msgspec', 'nats', 'services', 'asyncio'} & set(sys.modules)))"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "[]"


@pytest.mark.parametrize(("path", "write"), [(stubs.PACKAGE, stubs.package), (stubs.RUN, stubs.run)])
def test_the_stubs_are_those_of_the_registry(path: Any, write: Callable[[], str]) -> None:
    assert path.read_text() == write(), "run `python -m tests.stubs`"
