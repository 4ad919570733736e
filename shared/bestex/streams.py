"""The streams: one per writer role. `apply` creates them; a service only verifies."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client

from bestex import subjects
from bestex.bus import STREAM_NOT_FOUND, api, error_code
from bestex.config import Config
from bestex.errors import BusError, StreamMismatch

METRICS_KEPT_PER_SUBJECT = 16  # a metric is overwritten by its next value; a few make a trend
HALTS_KEPT_PER_SUBJECT = 64  # the last value counts; the ones before say who did what


@dataclass(frozen=True)
class StreamSpec:
    name: str
    subjects: tuple[str, ...]
    max_age_ns: int
    max_msgs_per_subject: int = -1
    replicas: int = 1

    def config(self) -> dict[str, Any]:
        """As the server states it. Deleting and purging are denied: these are the books of a trading firm."""
        return {
            "name": self.name,
            "subjects": list(self.subjects),
            "retention": "limits",
            "storage": "file",
            "discard": "old",
            "max_age": self.max_age_ns,
            "max_msgs_per_subject": self.max_msgs_per_subject,
            "num_replicas": self.replicas,
            "deny_delete": True,
            "deny_purge": True,
        }


def specs(config: Config) -> tuple[StreamSpec, ...]:
    """What must be there for this configuration."""

    def spec(name: str, *heads: str, kept: int = -1) -> StreamSpec:
        return StreamSpec(
            name=name,
            subjects=tuple(f"{subjects.ROOT}.{head}" for head in heads),
            max_age_ns=int(config.bus.max_age),
            max_msgs_per_subject=kept,
            replicas=config.bus.replicas,
        )

    return (
        spec(subjects.ORDERS, "order.>"),
        spec(subjects.SCHED, "parent.>", "epoch.scheduler.>"),
        spec(subjects.ROUTE, "route.>", "child.>", "epoch.router.>"),
        *(
            spec(subjects.exec_stream(venue), f"exec.{venue}.>", f"fill.{venue}.>", f"epoch.gateway.{venue}")
            for venue in config.enabled_venues()
        ),
        spec(subjects.METRICS, "metrics.>", "epoch.recorder.>", kept=METRICS_KEPT_PER_SUBJECT),
        spec(subjects.CONTROL, "control.>", kept=HALTS_KEPT_PER_SUBJECT),
    )


async def apply(client: Client, config: Config) -> list[tuple[str, str]]:
    """Create what is missing and update what differs; (stream, created | updated | unchanged) of each.

    Raises BusError where the server refuses, with its words.
    """
    outcome = []
    for spec in specs(config):
        found = await api(client, f"STREAM.INFO.{spec.name}", {})
        if error_code(found) == STREAM_NOT_FOUND:
            verb, word = "CREATE", "created"
        elif "error" in found:
            raise BusError(f"stream {spec.name}: {found['error'].get('description')}")
        elif _differences(found["config"], spec):
            verb, word = "UPDATE", "updated"
        else:
            outcome.append((spec.name, "unchanged"))
            continue
        answer = await api(client, f"STREAM.{verb}.{spec.name}", spec.config())
        if "error" in answer:
            raise BusError(f"stream {spec.name}: {answer['error'].get('description')}")
        outcome.append((spec.name, word))
    return outcome


async def verify(client: Client, config: Config) -> dict[str, dict[str, Any]]:
    """What the server says of each stream. Raises StreamMismatch, naming every stream that is missing or not as
    it must be; BusError where the server cannot say now, which may pass."""
    wrong: list[str] = []
    infos = {}
    for spec in specs(config):
        found = await api(client, f"STREAM.INFO.{spec.name}", {})
        if error_code(found) == STREAM_NOT_FOUND:
            wrong.append(f"{spec.name} is missing")
        elif "error" in found:
            raise BusError(f"stream {spec.name}: {found['error'].get('description')}")
        else:
            infos[spec.name] = found
            wrong.extend(f"{spec.name}: {text}" for text in _differences(found["config"], spec))
    if wrong:
        raise StreamMismatch(f"{'; '.join(wrong)}. Run `bestex streams apply`.")
    return infos


def _differences(found: dict[str, Any], spec: StreamSpec) -> list[str]:
    wanted = spec.config()
    return [
        f"{key} is {json.dumps(found.get(key))}, must be {json.dumps(value)}"
        for key, value in wanted.items()
        if found.get(key, False if value is False else None) != value
    ]
