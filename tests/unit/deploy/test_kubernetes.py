"""Every manifest against Kubernetes' own schemas, and the rules that a schema does not know."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from bestex import config as configuration
from bestex.errors import ConfigError
from bestex.keys import read_keys

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
KUSTOMIZATIONS = sorted(DEPLOY.rglob("kustomization.yaml"))
MANIFESTS = sorted(
    path
    for path in DEPLOY.rglob("*.yaml")
    if path.name != "kustomization.yaml" and {"k8s", "nats"} & set(path.relative_to(DEPLOY).parts)
)
VERSIONS = ("1.30", "1.37")  # the oldest that we mean to run on, the newest that the validator knows


def objects(path: Path) -> list[dict[str, Any]]:
    return [item for item in yaml.safe_load_all(path.read_text()) if item]


def name(path: Path) -> str:
    return str(path.relative_to(DEPLOY))


def workloads() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in MANIFESTS:
        for item in objects(path):
            if item["kind"] in ("Deployment", "StatefulSet", "Job"):
                yield item["metadata"]["name"], item


WORKLOADS = dict(workloads())
LONG_RUNNING = sorted(key for key, item in WORKLOADS.items() if item["kind"] != "Job")
CCXT = {"gateway-ccxt": "gateway", "collector-ccxt": "collector"}  # of the overlay, in place of those
PROCESSES = {"exchange", "collector", "aggregator", "scheduler", "router", "gateway", "recorder"}


def pod(workload: str) -> dict[str, Any]:
    spec: dict[str, Any] = WORKLOADS[workload]["spec"]["template"]["spec"]
    return spec


def container(workload: str) -> dict[str, Any]:
    (only,) = pod(workload)["containers"]
    assert isinstance(only, dict)
    return only


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", MANIFESTS, ids=name)
def test_each_object_is_strictly_valid(path: Path, version: str) -> None:
    for item in objects(path):
        kubernetes_validate.validate(item, version, strict=True)


def test_the_validator_would_notice_a_misspelt_field() -> None:
    (item,) = objects(DEPLOY / "k8s" / "base" / "router.yaml")
    item["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(item, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=name)
def test_every_resource_of_a_kustomization_exists(path: Path, bus_folder: Path) -> None:
    kustomization = yaml.safe_load(path.read_text())
    folder = bus_folder if path.parent.name == "bus" else path.parent
    for resource in kustomization.get("resources", []):
        target = path.parent / resource
        assert target.is_file() or (target / "kustomization.yaml").is_file(), resource
    generators = [*kustomization.get("configMapGenerator", []), *kustomization.get("secretGenerator", [])]
    for generator in generators:
        for file in generator["files"]:
            assert (folder / file).is_file(), file


@pytest.mark.parametrize("workload", sorted(WORKLOADS))
def test_each_workload_mounts_its_own_roles_key_and_no_other(workload: str) -> None:
    volumes = {volume["name"]: volume["secret"] for volume in pod(workload)["volumes"] if "secret" in volume}
    volumes.pop("venue-keys", None)
    role = {"streams": "provisioner", "nats": "server", **CCXT}.get(workload, workload)
    assert [secret["secretName"] for secret in volumes.values()] == (
        [] if workload == "exchange" else [f"bus-{role}"]
    )
    for volume, secret in volumes.items():
        assert secret["defaultMode"] == 0o440, "a process that is not root reads it by its group"
        (mount,) = (mount for mount in container(workload)["volumeMounts"] if mount["name"] == volume)
        assert mount["readOnly"] is True
    assert "env" not in container(workload)


def test_each_secret_of_a_role_holds_the_key_of_that_role() -> None:
    bus = yaml.safe_load((DEPLOY / "bus" / "kustomization.yaml").read_text())
    held = {item["name"].removeprefix("bus-"): item["files"] for item in bus["secretGenerator"]}
    assert held.pop("server") == ["accounts.conf", "tls/server.pem", "tls/server.key"]
    assert held == {role: [f"keys/{role}.nk"] for role in held}
    assert set(held) == PROCESSES - {"exchange"} | {"provisioner"}


@pytest.mark.parametrize("path", MANIFESTS, ids=name)
def test_every_manifest_belongs_to_a_kustomization(path: Path) -> None:
    assert path.name in yaml.safe_load((path.parent / "kustomization.yaml").read_text())["resources"]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl to render with")
@pytest.mark.parametrize("folder", ["k8s/base", "k8s/overlays/dev", "k8s/overlays/ccxt"])
def test_what_kustomize_renders_is_strictly_valid(folder: str, bus_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    shutil.copytree(bus_folder, tmp_path / "deploy" / "bus", dirs_exist_ok=True)
    rendered = subprocess.run(
        ["kubectl", "kustomize", str(tmp_path / "deploy" / folder)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout
    items = [item for item in yaml.safe_load_all(rendered) if item]
    names = {item["metadata"]["name"] for item in items if item["kind"] in ("Deployment", "StatefulSet")}
    if folder.endswith("ccxt"):
        assert set(CCXT) <= names
        assert not {"gateway", "collector", "exchange"} & names, "two writers of one history"
    for item in items:
        kubernetes_validate.validate(item, VERSIONS[-1], strict=True)
    configs = {item["metadata"]["name"] for item in items if item["kind"] == "ConfigMap"}
    used = {
        volume["configMap"]["name"]
        for item in items
        if item["kind"] in ("Deployment", "StatefulSet", "Job")
        for volume in item["spec"]["template"]["spec"]["volumes"]
        if "configMap" in volume
    }
    assert configs <= used


def test_there_is_one_workload_for_each_process() -> None:
    assert set(WORKLOADS) == PROCESSES | set(CCXT) | {"streams", "nats"}
    for workload, process in {**dict(zip(PROCESSES, PROCESSES, strict=True)), **CCXT}.items():
        assert container(workload)["args"][:3] == ["python", "-m", f"services.{process}"]


@pytest.mark.parametrize("workload", sorted(WORKLOADS))
def test_each_pod_fits_the_restricted_profile(workload: str) -> None:
    assert pod(workload)["securityContext"]["runAsNonRoot"] is True
    assert pod(workload)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    rights = container(workload)["securityContext"]
    assert rights["allowPrivilegeEscalation"] is False
    assert rights["capabilities"] == {"drop": ["ALL"]}
    assert pod(workload)["automountServiceAccountToken"] is False


@pytest.mark.parametrize("workload", sorted(WORKLOADS))
def test_the_root_is_read_only_and_tmp_is_writable(workload: str) -> None:
    assert container(workload)["securityContext"]["readOnlyRootFilesystem"] is True
    (tmp,) = [mount for mount in container(workload)["volumeMounts"] if mount["mountPath"] == "/tmp"]
    (volume,) = [volume for volume in pod(workload)["volumes"] if volume["name"] == tmp["name"]]
    assert "emptyDir" in volume


@pytest.mark.parametrize("workload", sorted(WORKLOADS))
def test_each_has_time_to_drain_and_a_share_of_the_machine(workload: str) -> None:
    assert pod(workload)["terminationGracePeriodSeconds"] == 60
    resources = container(workload)["resources"]
    assert set(resources["requests"]) == {"cpu", "memory"}
    assert "memory" in resources["limits"]


@pytest.mark.parametrize("workload", sorted(PROCESSES | set(CCXT)))
def test_liveness_does_not_ask_for_the_bus_and_readiness_does(workload: str) -> None:
    item = container(workload)
    assert item["startupProbe"]["httpGet"]["path"] == "/healthz"
    assert item["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert item["readinessProbe"]["httpGet"]["path"] == "/readyz"


@pytest.mark.parametrize("workload", LONG_RUNNING)
def test_probes_ask_a_port_that_is_declared(workload: str) -> None:
    item = container(workload)
    declared = {port["name"] for port in item["ports"]}
    assert {item[probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe")} <= declared


@pytest.mark.parametrize("workload", LONG_RUNNING)
def test_no_rollout_runs_two_writers_of_one_history(workload: str) -> None:
    item = WORKLOADS[workload]
    assert item["spec"]["replicas"] == 1
    if item["kind"] == "Deployment":
        assert item["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize("workload", ["nats", "exchange", "recorder"])
def test_what_must_survive_is_on_a_claimed_volume(workload: str) -> None:
    (claim,) = WORKLOADS[workload]["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] in {mount["name"] for mount in container(workload)["volumeMounts"]}


@pytest.mark.parametrize("workload", sorted(WORKLOADS))
def test_selectors_find_their_own_pods(workload: str) -> None:
    spec = WORKLOADS[workload]["spec"]
    labels = spec["template"]["metadata"]["labels"].items()
    assert spec.get("selector", {}).get("matchLabels", {}).items() <= labels


def test_the_exchange_listens_on_all_addresses_of_its_pod() -> None:
    assert container("exchange")["args"][3:] == ["--host", "0.0.0.0"]


def test_only_collectors_and_gateways_leave_the_cluster() -> None:
    policies = [item for path in MANIFESTS for item in objects(path) if item["kind"] == "NetworkPolicy"]
    leaving = [
        policy["spec"]["podSelector"]
        for policy in policies
        for rule in policy["spec"].get("egress", [])
        if any("ipBlock" in peer for peer in rule["to"])
    ]
    assert len(leaving) == 1
    (expression,) = leaving[0]["matchExpressions"]
    assert set(expression["values"]) == {"collector", "gateway"}


# -- exchanges through ccxt --------------------------------------------------------------------------------------


def test_an_exchanges_keys_are_a_secret_that_only_the_gateways_own_copy_shows_it() -> None:
    spec = pod("gateway-ccxt")
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes["venue-keys"]["secret"] == {"secretName": "venue-keys", "defaultMode": 0o400}
    assert volumes["venues"]["emptyDir"]["medium"] == "Memory"
    (copies,) = spec["initContainers"]
    assert "install -m 0400" in copies["args"][-1]
    assert copies["image"] == container("gateway-ccxt")["image"]
    assert copies["securityContext"] == container("gateway-ccxt")["securityContext"]
    assert {mount["name"] for mount in copies["volumeMounts"]} == {"venue-keys", "venues"}
    mounts = {mount["name"]: mount for mount in container("gateway-ccxt")["volumeMounts"]}
    assert "venue-keys" not in mounts
    assert mounts["venues"]["readOnly"] is True
    for workload in set(WORKLOADS) - {"gateway-ccxt"}:
        assert not {"venue-keys", "venues"} & {volume["name"] for volume in pod(workload)["volumes"]}


def test_the_gateway_finds_the_keys_where_its_configuration_says_and_takes_them_by_their_mode(
    tmp_path: Path,
) -> None:
    config = configuration.load(DEPLOY / "k8s" / "overlays" / "ccxt" / "bestex.toml", {})
    mounted = {mount["name"]: mount["mountPath"] for mount in container("gateway-ccxt")["volumeMounts"]}
    copied = pod("gateway-ccxt")["initContainers"][0]["args"][-1]
    for venue, settings in config.venues.items():
        assert settings.adapter == "ccxt"
        assert settings.keys == f"{mounted['venues']}/{venue}.toml"
        assert settings.options["sandbox"] is True, "an example sends no order with money"
    secret, own = tmp_path / "secret", tmp_path / "own"
    for folder in (secret, own):
        folder.mkdir()
    (secret / "binance_spot.toml").write_text('key = "k"\nsecret = "s"\n')
    (secret / "binance_spot.toml").chmod(0o440)  # what fsGroup makes of 0400
    with pytest.raises(ConfigError, match="others may read it"):
        read_keys(secret / "binance_spot.toml")
    command = copied.replace("/run/secrets/venues", str(secret)).replace(mounted["venues"], str(own))
    subprocess.run(["sh", "-c", command], check=True, timeout=10)
    assert read_keys(own / "binance_spot.toml").get("key") == "k"


def test_the_containers_of_the_overlay_have_the_same_labels_as_those_that_they_replace() -> None:
    for workload, process in CCXT.items():
        old, new = (WORKLOADS[name]["spec"]["template"]["metadata"]["labels"] for name in (process, workload))
        assert old == new, "so that the policies of the network hold for them"
