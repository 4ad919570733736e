"""The streams and their consumers on the bus: `apply` creates them; a service only verifies."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from nats.aio.client import Client

from bestex import consumers, pull
from bestex.bus import STREAM_NOT_FOUND, api, error_code
from bestex.config import Config
from bestex.errors import BusError, StreamMismatch
from bestex.stream_specs import StreamSpec, specs

__all__ = ["StreamSpec", "apply", "holding", "specs", "verify"]


async def apply(client: Client, config: Config, *, split: bool = False) -> list[tuple[str, str]]:
    """Create what is missing and update what differs; (stream, created | updated | unchanged) of each. `split`:
    the consumers of one process an algorithm, instead of those of one for all.

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
    for consumer in consumers.split(config) if split else consumers.whole(config):
        read = consumer.read
        await pull.make_consumer(client, read.stream, read.durable, read.subjects, create=True)
    return outcome


async def verify(
    client: Client, config: Config, names: Collection[str] | None = None
) -> dict[str, dict[str, Any]]:
    """What the server says of each stream (of `names`, else of all). Raises StreamMismatch, naming every one that is
    missing or not as it must be; BusError where the server cannot say now, which may pass."""
    wrong: list[str] = []
    infos = {}
    for spec in specs(config):
        if names is not None and spec.name not in names:
            continue
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


async def holding(client: Client, subject: str) -> list[str]:
    """The names of the streams that hold what matches `subject`."""
    answer = await api(client, "STREAM.NAMES", {"subject": subject})
    return sorted(answer.get("streams") or ())


def _differences(found: dict[str, Any], spec: StreamSpec) -> list[str]:
    wanted = spec.config()
    return [
        f"{key} is {json.dumps(found.get(key))}, must be {json.dumps(value)}"
        for key, value in wanted.items()
        if found.get(key, False if value is False else None) != value
    ]
