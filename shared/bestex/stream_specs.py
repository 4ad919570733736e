"""The streams as they must be: one per writer role."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bestex import subjects
from bestex.config import Config

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
            # Histories are read without a consumer, and followed by what comes out again once it is stored.
            "allow_direct": True,
            "republish": {"src": ">", "dest": f"{subjects.STORED}.>"},
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
            spec(
                subjects.exec_stream(venue),
                *(f"{head}.{venue}.>" for head in ("exec", "fill", "holdings")),
                f"epoch.gateway.{venue}",
            )
            for venue in config.enabled_venues()
        ),
        spec(subjects.METRICS, "metrics.>", "epoch.recorder.>", kept=METRICS_KEPT_PER_SUBJECT),
        spec(subjects.CONTROL, "control.>", kept=HALTS_KEPT_PER_SUBJECT),
    )
