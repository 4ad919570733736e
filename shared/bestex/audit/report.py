"""What an audit reads and what it finds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bestex.clock import HOUR, rfc3339

ANOMALIES_KEPT = 10_000  # of a history that is broken all over, the first ones say enough
ANOMALIES_SHOWN = 50

PROMISES = {
    1: "an acknowledged intent or fill survives",
    2: "no duplicate child",
    3: "never an overfill",
    4: "at most one send per child",
    5: "unknown is never called rejected",
    6: "no fill lost or counted twice",
    7: "one writer per order",
    8: "nothing stale executes",
    11: "every order ends, with a reason",
}


class Record(NamedTuple):
    """One stored message. `at_ns` is when its stream stored it. Not every source has the headers."""

    stream: str
    seq: int
    subject: str
    at_ns: int
    data: bytes
    headers: Mapping[str, str] | None = None


class Witness(NamedTuple):
    """Where to look. For a line of a venue's own journal, `stream` is `journal:<venue>`."""

    stream: str
    seq: int
    subject: str
    at_ns: int

    def __str__(self) -> str:
        return f"{self.stream} {self.seq} {self.subject} ({rfc3339(self.at_ns)})"


# In a replay the services' clock shows the time of the recording, and the bus's the present. Two clocks that are
# closer than this are meant to be the same.
SAME_CLOCK_NS = HOUR


def stored_ns(at_ns: int, witness: Witness) -> int:
    """When an event was stored, on the clock of the service that wrote `at_ns` into it."""
    return witness.at_ns if abs(witness.at_ns - at_ns) < SAME_CLOCK_NS else at_ns


def decided_ns(at_ns: int, witness: Witness) -> int:
    """When an event was decided, on the clock of the bus, which stored it later than that."""
    return min(at_ns, witness.at_ns) if abs(witness.at_ns - at_ns) < SAME_CLOCK_NS else witness.at_ns


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A broken promise (its number in the list of promises), what is wrong, and the events that show it."""

    promise: int
    code: str
    text: str
    witnesses: tuple[Witness, ...]


@dataclass(slots=True)
class Findings:
    """Collects anomalies; bounded."""

    anomalies: list[Anomaly] = field(default_factory=list)
    count: int = 0

    def add(self, promise: int, code: str, text: str, *witnesses: Witness | None) -> None:
        self.count += 1
        if len(self.anomalies) < ANOMALIES_KEPT:
            seen = tuple(witness for witness in witnesses if witness is not None)
            self.anomalies.append(Anomaly(promise, code, text, seen))


@dataclass(frozen=True, slots=True)
class AuditReport:
    """`checked` counts what was looked at; `count` anomalies were found, of which `anomalies` are kept."""

    checked: dict[str, int]
    anomalies: tuple[Anomaly, ...]
    count: int
    complete: bool

    @property
    def ok(self) -> bool:
        return self.count == 0

    def builtins(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "ok": self.ok,
            "anomalies": self.count,
            "complete": self.complete,
            "checked": self.checked,
            "found": [
                {
                    "promise": anomaly.promise,
                    "code": anomaly.code,
                    "text": anomaly.text,
                    "witnesses": [
                        {
                            "stream": witness.stream,
                            "seq": witness.seq,
                            "subject": witness.subject,
                            "at": rfc3339(witness.at_ns),
                        }
                        for witness in anomaly.witnesses
                    ],
                }
                for anomaly in self.anomalies
            ],
        }

    def __str__(self) -> str:
        return self.text()

    def text(self) -> str:
        """For a person: the anomalies by promise with their witnesses, then the verdict."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterable[str]:
        shown = sorted(self.anomalies, key=lambda anomaly: anomaly.promise)[:ANOMALIES_SHOWN]
        for anomaly in shown:
            yield f"promise {anomaly.promise} ({PROMISES[anomaly.promise]}): {anomaly.code}: {anomaly.text}"
            yield from (f"    {witness}" for witness in anomaly.witnesses)
        if self.count > len(shown):
            yield f"... and {self.count - len(shown)} more"
        looked_at = ", ".join(f"{count} {what}" for what, count in self.checked.items())
        yield f"{self.count} {'anomaly' if self.count == 1 else 'anomalies'} in {looked_at}"
