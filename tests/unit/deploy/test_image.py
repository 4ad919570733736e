"""The container image and its configuration: what can be said of them without an engine."""

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from bestex import config as configuration

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
PIN = re.compile(r"^([a-z0-9-]+)==(\S+) \\$", re.M)


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


def test_its_lock_holds_the_versions_that_were_tested() -> None:
    tested = dict(PIN.findall((ROOT / "requirements.lock").read_text()))
    shipped = dict(PIN.findall((DEPLOY / "requirements.lock").read_text()))
    assert shipped
    assert shipped.items() <= tested.items()
    assert "pytest" not in shipped


def test_the_configuration_for_containers_is_valid() -> None:
    config = configuration.load(DEPLOY / "config" / "bestex.toml", {})
    assert config.bus.url == "nats://nats:4222"
    assert config.exchange.host == "exchange"


@pytest.mark.parametrize(
    "section", ["venues", "instruments", "execution", "splitting", "algos", "market_data"]
)
def test_containers_trade_as_the_packaged_default_does(section: str) -> None:
    default = configuration.load(ROOT / "shared" / "bestex" / "default.toml", {})
    container = configuration.load(DEPLOY / "config" / "bestex.toml", {})
    assert getattr(container, section) == getattr(default, section)


def test_the_buses_of_containers_put_every_write_on_disk() -> None:
    assert re.search(r"^ *sync_interval: always$", (DEPLOY / "nats" / "nats.conf").read_text(), re.M)
