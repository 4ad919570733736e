"""Who may import whom. The library knows no service, services know only the library, cores know only facts."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# What would let a core wait, look at a clock, write a log or draw unseeded randomness. Randomness comes from
# a seed that the caller hands over, so `from random import Random` is allowed and the module's functions are not.
SHELL_ONLY = frozenset(
    """aiohttp asyncio datetime http httpx logging nats os random secrets socket sqlite3 ssl structlog
    subprocess threading time urllib uuid uvloop""".split()  # noqa: SIM905 - words in a row are easier to read
)
# Library modules that act; a core imports none of them.
ACTING = frozenset(
    f"bestex.{name}"
    for name in """bus bus_address client cli demo halting journal log process runtime server streams
    tail""".split()  # noqa: SIM905
)
ALLOWED_FROM = frozenset({("random", "Random")})
CLOCK_READS = frozenset({"AffineClock"})  # `bestex.clock` has units, which a core needs, and a clock

# A service that drives other services' cores on virtual time.
MAY_IMPORT_SERVICES = frozenset({"backtester"})

Import = tuple[str, str]  # module, name; the name is empty in `import module`


@cache
def imports(path: Path) -> tuple[Import, ...]:
    """Every import of a file, those inside functions and under TYPE_CHECKING included."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[Import]:
    package = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                module = ".".join([*package[: len(package) - node.level + 1], *filter(None, [module])])
            yield from ((module, alias.name) for alias in node.names)


def top(module: str) -> str:
    return module.partition(".")[0]


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def files(*patterns: str) -> list[Path]:
    return sorted({path for pattern in patterns for path in ROOT.glob(pattern)})


def with_helpers(cores: list[Path]) -> list[Path]:
    """`cores` and all that they import from their own services: what a core calls is held to its rules."""
    found: set[Path] = set()
    waiting = list(cores)
    while waiting:
        path = waiting.pop()
        found.add(path)
        for module, name in imports(path):
            for full in (module, f"{module}.{name}"):
                helper = ROOT / f"{full.replace('.', '/')}.py"
                if top(full) == "services" and helper.is_file() and helper not in found:
                    waiting.append(helper)
    return sorted(found)


LIBRARY = files("shared/bestex/**/*.py")
SERVICES = files("services/*/**/*.py")
CORES = with_helpers(
    files(
        "services/*/core.py",
        "services/scheduler/algos/**/*.py",
        "services/router/strategies/**/*.py",
        "shared/bestex/core.py",
        "shared/bestex/matching/**/*.py",
        "shared/bestex/ladder.py",
        "shared/bestex/units.py",
        "shared/bestex/instruments.py",
    )
)


def outside_a_core(item: Import) -> bool:
    module, name = item
    if item in ALLOWED_FROM:
        return False
    full = f"{module}.{name}"
    acts = any(
        found == banned or found.startswith(f"{banned}.") for found in (module, full) for banned in ACTING
    )
    return acts or top(module) in SHELL_ONLY or name in CLOCK_READS


def test_there_is_something_to_check() -> None:
    assert len(LIBRARY) > 10
    assert any(path.name == "core.py" for path in CORES)


@pytest.mark.parametrize("path", LIBRARY, ids=label)
def test_the_library_imports_no_service_and_no_test(path: Path) -> None:
    assert {top(module) for module, _ in imports(path)}.isdisjoint({"services", "tests", "shared"})


@pytest.mark.parametrize("path", SERVICES, ids=label)
def test_a_service_imports_no_other_service(path: Path) -> None:
    own = path.relative_to(ROOT).parts[1]
    found = {module if module != "services" else f"services.{name}" for module, name in imports(path)}
    others = {module for module in found if top(module) == "services" and module.split(".")[1] != own}
    assert not others or own in MAY_IMPORT_SERVICES
    assert {top(module) for module in found}.isdisjoint({"tests", "shared"})


@pytest.mark.parametrize("path", CORES, ids=label)
def test_a_core_knows_no_bus_clock_log_or_chance(path: Path) -> None:
    assert [item for item in imports(path) if outside_a_core(item)] == []


@pytest.mark.parametrize(
    "text",
    [
        "import time",
        "import asyncio.events",
        "from time import time_ns",
        "from random import random",
        "from bestex import bus",
        "from bestex.runtime import Runtime",
        "from bestex.clock import SECOND, AffineClock",
        "def decide():\n    import nats.aio",
    ],
)
def test_the_check_sees_what_a_core_must_not_do(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / "core.py"
    path.write_text(text)
    assert any(outside_a_core(item) for item in imports(path))


def test_relative_imports_are_read_as_what_they_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / "services" / "router" / "core.py"
    path.parent.mkdir(parents=True)
    path.write_text("from ..scheduler import core\nfrom . import legs\nfrom .legs import split")
    assert list(imports(path)) == [
        ("services.scheduler", "core"),
        ("services.router", "legs"),
        ("services.router.legs", "split"),
    ]
