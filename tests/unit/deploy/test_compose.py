"""The compose file against Compose's own schema (of docker-compose 1.29.2, Apache-2.0, beside this file).

That release is the oldest that people still have, so what it accepts the newer ones accept too.
"""

import importlib.util
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from bestex import config as configuration

ROOT = Path(__file__).resolve().parents[3]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if name != "nats"}
PROCESSES = {"exchange", "collector", "aggregator", "scheduler", "router", "gateway", "recorder"}
SCHEMA = json.loads((Path(__file__).parent / "compose_spec.json").read_text())


def conditions(name: str) -> dict[str, str]:
    return {other: item["condition"] for other, item in SERVICES[name].get("depends_on", {}).items()}


def started_before(name: str) -> set[str]:
    names: set[str] = set()
    for other in conditions(name):
        names |= {other} | started_before(other)
    return names


def test_it_follows_composes_schema() -> None:
    jsonschema.Draft201909Validator(SCHEMA).validate(COMPOSE)


def test_the_schema_would_notice_a_misspelt_field() -> None:
    wrong = {"services": {"router": {"image": "bestex", "health_check": {}}}}
    with pytest.raises(jsonschema.ValidationError, match="health_check"):
        jsonschema.Draft201909Validator(SCHEMA).validate(wrong)


def test_it_has_no_top_level_name_which_old_releases_refuse() -> None:
    assert "name" not in COMPOSE


def test_the_whole_pipeline_is_there() -> None:
    assert set(SERVICES) == PROCESSES | {"nats", "streams"}


@pytest.mark.parametrize("name", sorted(OURS))
def test_each_command_is_a_module_or_the_command_line(name: str) -> None:
    command = OURS[name]["command"]
    if name == "streams":
        assert command == ["bestex", "streams", "apply"]
        return
    assert command[:2] == ["python", "-m"]
    assert command[2] == f"services.{name}"
    assert importlib.util.find_spec(f"{command[2]}.__main__") is not None


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"streams"}))
def test_each_long_running_one_says_when_it_is_healthy(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


def test_services_start_after_what_they_need() -> None:
    assert conditions("streams") == {"nats": "service_healthy"}
    for name in set(OURS) - {"streams", "exchange"}:
        assert {"nats", "streams"} <= started_before(name), name
    assert "exchange" in started_before("collector") & started_before("gateway")
    assert {"aggregator", "router", "gateway"} <= started_before("scheduler")


def test_a_job_is_awaited_to_its_end_and_a_service_until_it_is_healthy() -> None:
    for name in SERVICES:
        for other, condition in conditions(name).items():
            wanted = "service_completed_successfully" if other == "streams" else "service_healthy"
            assert condition == wanted, f"{name} waits for {other}"


@pytest.mark.parametrize("name", sorted(OURS))
def test_no_process_has_more_rights_than_it_needs(name: str) -> None:
    service = OURS[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_exchange_listens_on_all_addresses_of_its_container() -> None:
    assert SERVICES["exchange"]["command"][3:] == ["--host", "0.0.0.0"]


def test_ports_are_published_on_loopback_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_every_mounted_file_and_every_volume_exists(bus_folder: Path) -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./deploy/bus/"):
                found = (bus_folder / source.removeprefix("./deploy/bus/")).is_file()
            else:
                found = (ROOT / source).is_file() if source.startswith("./") else source in COMPOSE["volumes"]
            assert found, f"{name}: {volume}"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_each_process_has_its_own_roles_key_and_no_other(name: str) -> None:
    keys = [volume.split(":")[1] for volume in SERVICES[name].get("volumes", []) if "/keys/" in volume]
    role = {"streams": "provisioner"}.get(name, name)
    assert keys == ([] if name in ("nats", "exchange") else [f"/run/bestex/keys/{role}.nk"])
    assert "/bus:" not in "".join(SERVICES[name].get("volumes", []))


def test_what_must_survive_is_on_a_volume() -> None:
    for name in ("nats", "exchange", "recorder"):
        assert any(volume.split(":")[0] == name for volume in SERVICES[name]["volumes"])


# -- exchanges through ccxt --------------------------------------------------------------------------------------

CCXT = yaml.safe_load((ROOT / "docker-compose.ccxt.yml").read_text())
CCXT_CONFIG = "./deploy/k8s/overlays/ccxt/bestex.toml:/etc/bestex/bestex.toml:ro"


def test_the_file_for_exchanges_follows_the_schema_and_changes_only_services_that_there_are() -> None:
    jsonschema.Draft201909Validator(SCHEMA).validate(CCXT)
    assert set(CCXT["services"]) == set(OURS)


def test_with_it_every_process_reads_the_configuration_of_the_exchanges_from_the_same_place() -> None:
    for name, service in CCXT["services"].items():
        if name != "exchange":
            assert CCXT_CONFIG in service["volumes"], name
            assert any(volume.endswith(":/etc/bestex/bestex.toml:ro") for volume in OURS[name]["volumes"])


def test_with_it_the_gateway_alone_has_the_exchanges_keys_where_its_configuration_says() -> None:
    config = configuration.load(ROOT / CCXT_CONFIG.split(":")[0], {})
    for name, service in CCXT["services"].items():
        keys = [volume.split(":")[1] for volume in service.get("volumes", []) if "deploy/venues" in volume]
        assert keys == ([venue.keys for venue in config.venues.values()] if name == "gateway" else [])
    assert "deploy/venues/" in (ROOT / ".gitignore").read_text().splitlines()


def test_with_it_those_who_speak_to_exchanges_have_an_image_with_ccxt() -> None:
    with_ccxt = {
        name
        for name, service in CCXT["services"].items()
        if service.get("build", {}).get("args") == {"EXTRAS": "ccxt"}
    }
    assert with_ccxt == {"collector", "gateway"}
    assert all(CCXT["services"][name]["image"] == "bestex:ccxt" for name in with_ccxt)
