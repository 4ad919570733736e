"""The rules of the house that a machine can check."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LINES_MAX = 400  # past that a module is two modules
PAGES = {"README.md": 250, "ARCHITECTURE.md": 350}

# A place on somebody's machine; what containers mount (/var/lib, /etc, /tmp itself) is none.
MACHINE_PATH = re.compile(
    r"(?<![\w.:/-])/(?:home|Users|root|work|mnt|opt/pypi|private)/\w|(?<![\w.:/-])/tmp/\w"
)
# Put together here, because this file is looked through as well.
HOSTS = [
    ".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("registry", "npmjs", "org"))
]
REGISTRY = re.compile("|".join(map(re.escape, HOSTS)), re.I)
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")

# Exceptions, each with its reason.
LONG: dict[str, str] = {
    "shared/bestex/messages.py": "every message of the contract in one place, no logic",
}
BINARY = {".gz", ".zst", ".png", ".parquet", ".db", ".rec"}


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
BUILD = [Requirement(text) for text in PROJECT["build-system"]["requires"]]
DEVELOPMENT = [Requirement(text) for text in PROJECT["dependency-groups"]["dev"]]
EXTRAS = [
    Requirement(text) for extra in PROJECT["project"]["optional-dependencies"].values() for text in extra
]
OURS = {"bestex", "services", "tests"}


def tracked() -> list[Path]:
    """What git keeps, or would keep; every file of a source tree without git."""
    listing = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode == 0:
        found = {ROOT / name for name in listing.stdout.split("\0") if name}
    else:
        found = {
            path
            for folder in ("shared", "services", "tests", "deploy")
            for path in (ROOT / folder).rglob("*")
        }
    return sorted(path for path in found if path.is_file() and path.suffix not in BINARY)


FILES = [path for path in tracked() if path != Path(__file__).resolve()]
MODULES = [path for path in FILES if path.suffix == ".py"]


def label(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(path: Path) -> set[str]:
    """The top-level packages that a module imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def hits(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{label(path)}:{number}: {line.strip()[:80]}"
        for path in FILES
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]


def test_there_is_something_to_check() -> None:
    assert len(MODULES) > 20


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    assert hits(MACHINE_PATH) == []


def test_no_file_names_a_package_index() -> None:
    assert hits(REGISTRY) == []


def test_nothing_is_left_to_be_done() -> None:
    assert hits(UNFINISHED) == []


def test_a_module_fits_into_one_head() -> None:
    long = {label(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: lines for name, lines in long.items() if lines > LINES_MAX and name not in LONG} == {}


def test_every_exception_for_a_long_module_is_still_needed() -> None:
    for name in LONG:
        assert len((ROOT / name).read_text().splitlines()) > LINES_MAX, name


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_short_enough_to_be_read(name: str) -> None:
    assert 0 < len((ROOT / name).read_text().splitlines()) < PAGES[name]


@pytest.mark.parametrize("name", ["requirements.lock", "deploy/requirements.lock"])
def test_every_locked_version_is_exact_and_has_hashes(name: str) -> None:
    text = (ROOT / name).read_text()
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.M)[1:]
    assert blocks
    for block in blocks:
        assert re.match(r"[a-z0-9.-]+==\S+ \\\n", block), block.splitlines()[0]
        assert "--hash=sha256:" in block, block.splitlines()[0]
    assert "://" not in text


@pytest.mark.parametrize(
    ("name", "declared"),
    [("requirements.lock", RUNTIME + BUILD + DEVELOPMENT), ("deploy/requirements.lock", RUNTIME + BUILD)],
)
def test_a_lock_holds_what_is_declared(name: str, declared: list[Requirement]) -> None:
    locked = dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / name).read_text(), re.M))
    for requirement in declared:
        version = locked.get(canonicalize_name(requirement.name), "none")
        assert version != "none", f"{requirement.name} is not locked: make lock"
        assert requirement.specifier.contains(version), f"{requirement} but {version} is locked: make lock"


def test_every_imported_package_is_declared() -> None:
    distributions = packages_distributions()
    shipped = {canonicalize_name(item.name) for item in RUNTIME + EXTRAS}
    developed = shipped | {canonicalize_name(item.name) for item in DEVELOPMENT}
    undeclared = []
    for path in MODULES:
        allowed = developed if label(path).startswith("tests/") else shipped
        for package in imported(path) - OURS - sys.stdlib_module_names:
            names = {canonicalize_name(name) for name in distributions.get(package, [package])}
            if not names & allowed:
                undeclared.append(f"{label(path)} imports {package}")
    assert undeclared == []


@pytest.mark.parametrize("pattern", [MACHINE_PATH, REGISTRY, UNFINISHED])
def test_the_patterns_find_what_they_are_for(pattern: re.Pattern[str]) -> None:
    examples = {
        MACHINE_PATH: ('open("/home/me/x")', "store: /tmp/fixed"),
        REGISTRY: tuple(f"https://{host}/simple" for host in HOSTS),
        UNFINISHED: ("# TODO: later",),
    }
    assert all(pattern.search(example) for example in examples[pattern])


def test_the_wheel_holds_both_packages_and_the_default_configuration(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=60,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "bestex/config.py",
        "bestex/default.toml",
        "bestex/py.typed",
        "services/router/__init__.py",
    } <= names
    assert not any(name.startswith(("tests/", "shared/")) for name in names)
    sources = {
        label(path).removeprefix("shared/") for path in MODULES if path.parts[len(ROOT.parts)] != "tests"
    }
    assert sources <= names
