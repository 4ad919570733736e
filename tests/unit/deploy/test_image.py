"""The container image and its configuration: what can be said of them without an engine."""

import re
import shutil
import subprocess
import tomllib
from fnmatch import fnmatch
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bestex import config as configuration
from bestex.server import find_binary

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
LOCKS = sorted(DEPLOY.glob("requirements*.lock"))
PINNED = re.compile(r"^([a-z0-9-]+)==(\S+) \\\n((?:    --hash=\S+(?: \\)?\n)+)", re.M)
HASH = re.compile(r"sha256:\w+")


def copied() -> list[str]:
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.M)
    return [source for line in lines for source in line.split()[:-1]]


def test_everything_that_is_copied_exists_and_reaches_the_engine() -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for source in copied():
        assert (ROOT / source).exists(), source
        assert source in kept, f"{source} is ignored"


def test_caches_never_reach_the_engine() -> None:
    patterns = (ROOT / ".dockerignore").read_text().split()
    assert any(fnmatch("services/router/__pycache__", pattern) for pattern in patterns)


def test_it_does_not_run_as_root() -> None:
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.M) == ["10001:10001"]


def test_it_takes_the_service_and_the_extras_as_arguments() -> None:
    assert set(re.findall(r"^ARG (SERVICE|EXTRAS)\b", DOCKERFILE, re.M)) == {"SERVICE", "EXTRAS"}


def test_what_it_installs_is_pinned_with_hashes() -> None:
    assert "--require-hashes" in DOCKERFILE


def locked(path: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """The version and the hashes of every package."""
    found = PINNED.findall(path.read_text())
    return {name: (version, frozenset(HASH.findall(hashes))) for name, version, hashes in found}


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_its_locks_hold_the_versions_and_the_hashes_that_were_tested(path: Path) -> None:
    shipped = locked(path)
    assert shipped
    assert shipped.items() <= locked(ROOT / "requirements.lock").items()
    assert all(hashes for _, hashes in shipped.values())
    assert not {"pytest", "mypy", "ruff"} & set(shipped)


def test_each_extra_has_a_lock_with_all_that_it_needs_and_nothing_is_installed_without_hashes() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {path.name for path in LOCKS} == {"requirements.lock"} | {
        f"requirements-{extra}.lock" for extra in extras
    }
    for extra, wanted in extras.items():
        names: set[str] = {canonicalize_name(Requirement(text).name) for text in wanted}
        assert needed_by(names) <= set(locked(DEPLOY / f"requirements-{extra}.lock")), extra
    for install in re.findall(r"pip install (.+)", DOCKERFILE):
        assert "--require-hashes" in install or install.startswith("--no-deps --no-build-isolation . ")


def needed_by(names: set[str]) -> set[str]:
    """With all that they need in turn on this machine, as installed here."""
    found: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        found.add(name)
        for text in requires(name) or ():
            one = Requirement(text)
            if one.marker is None or one.marker.evaluate({"extra": ""}):
                waiting |= {canonicalize_name(one.name)} - found
    return found


def test_the_configuration_for_containers_is_valid() -> None:
    config = configuration.load(DEPLOY / "config" / "bestex.toml", {})
    assert config.bus.url == "tls://nats:4222"
    assert config.exchange.host == "exchange"


@pytest.mark.parametrize(
    "section", ["venues", "instruments", "execution", "splitting", "algos", "market_data"]
)
def test_containers_trade_as_the_packaged_default_does(section: str) -> None:
    default = configuration.load(ROOT / "shared" / "bestex" / "default.toml", {})
    container = configuration.load(DEPLOY / "config" / "bestex.toml", {})
    assert getattr(container, section) == getattr(default, section)


NATS_CONF = (DEPLOY / "nats" / "nats.conf").read_text()


def test_the_buses_of_containers_put_every_write_on_disk() -> None:
    assert re.search(r"^ *sync_interval: always$", NATS_CONF, re.M)


def test_the_buses_of_containers_know_who_is_who_and_speak_tls(bus_folder: Path, tmp_path: Path) -> None:
    """The server itself reads its configuration, with what `bestex bus init` made where it will be mounted."""
    mounted = tmp_path / "run" / "nats" / "bus"
    mounted.mkdir(parents=True)
    for name in ("accounts.conf", "tls/server.pem", "tls/server.key"):
        shutil.copy(bus_folder / name, mounted)
    config = tmp_path / "etc" / "nats" / "nats.conf"
    config.parent.mkdir(parents=True)
    config.write_text(
        NATS_CONF.replace('"/run/', f'"{tmp_path}/run/').replace('"/data"', f'"{tmp_path}/data"')
    )
    done = subprocess.run(
        [str(find_binary()), "-t", "-c", str(config)], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    (mounted / "accounts.conf").unlink()
    without = subprocess.run([str(find_binary()), "-t", "-c", str(config)], capture_output=True, timeout=30)
    assert without.returncode != 0, "a bus that does not find its accounts must not start open"


def test_no_key_is_in_git_or_in_the_image() -> None:
    kept = (ROOT / ".gitignore").read_text().splitlines()
    assert "deploy/bus/*" in kept
    assert not any(source.startswith("deploy/bus") for source in copied())
