"""Prometheus metrics that every service has. Base units, `bestex_` first, never an order id as a label."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

_inputs = Counter("bestex_inputs_total", "Inputs that a core decided on", ["service"])
_facts = Counter("bestex_facts_total", "Facts that were stored in a history", ["service"])
_unreadable = Counter(
    "bestex_unreadable_total", "Messages of others that could not be read; never acknowledged", ["service"]
)

_contained = Counter(
    "bestex_contained_total",
    "Errors of algorithms and strategies, each of which stopped what it was asked for and nothing else",
    ["service", "code"],
)

_venue_clock = Gauge(
    "bestex_venue_clock_ahead_seconds", "By how much a venue's clock is ahead of ours", ["venue"]
)


def venue_clock(venue: str, ahead_s: float) -> None:
    _venue_clock.labels(venue).set(ahead_s)


class RuntimeMetrics:
    def __init__(self, service: str) -> None:
        self.inputs = _inputs.labels(service)
        self.unreadable = _unreadable.labels(service)
        self.facts = _facts.labels(service)
        self._service = service

    def contained(self, code: str) -> None:
        _contained.labels(self._service, code).inc()
