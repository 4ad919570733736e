"""What operators had halted, and when: nothing is sent under a halt."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from bestex import codec
from bestex.audit.children import ChildHistory
from bestex.audit.report import Findings, Record, Witness, decided_ns
from bestex.clock import MS
from bestex.ids import token
from bestex.messages import Halt

# A gateway that hears a halt late sends at most what was decided before it: a child lives for about two seconds.
HALT_ALLOWANCE_NS = 2_500 * MS


class _Stretch(NamedTuple):
    """From `since_ns` (as stored) on, until the next one, the scope is halted or not."""

    since_ns: int
    halted: bool
    witness: Witness


class Halts:
    """`take` the control stream in order, then `check` the children."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._said_at: dict[str, int] = {}
        self._stretches: dict[str, list[_Stretch]] = {}

    def take(self, record: Record, witness: Witness) -> None:
        """The newest word of a scope counts, by its own time; what cannot be read halts."""
        _, found, scope = record.subject.partition(".control.halt.")
        if not found:
            return
        try:
            halt = codec.from_json(record.data, Halt)
            at_ns, halted = int(halt.at), halt.halted
        except (msgspec.MsgspecError, ValueError, RecursionError):
            at_ns, halted = self._said_at.get(scope, 0), True
        if at_ns < self._said_at.get(scope, 0):
            return
        self._said_at[scope] = at_ns
        stretches = self._stretches.setdefault(scope, [])
        if not stretches or stretches[-1].halted is not halted:
            stretches.append(_Stretch(witness.at_ns, halted, witness))

    def check(self, children: Iterable[ChildHistory]) -> None:
        if not self._stretches:
            return
        for child in children:
            sent, witness = child.submitting, child.submitting_witness
            if sent is None or witness is None:
                continue
            scopes = ("global", f"venue-{child.venue}", f"account-{sent.account}", f"algo-{sent.algo}")
            firmed_up = [("firmed up", event.at, seen) for event, seen in child.firmed_up]
            for what, at, seen in [("sent", sent.at, witness), *firmed_up]:
                at_ns = decided_ns(at, seen)
                for scope in map(token, scopes):
                    halt = self._at(scope, at_ns)
                    if halt is not None and halt.halted and at_ns > halt.since_ns + HALT_ALLOWANCE_NS:
                        text = f"child {child.child_id} at {child.venue}: {what} while {scope} was halted"
                        self._findings.add(8, "sent_while_halted", text, halt.witness, seen)

    def _at(self, scope: str, at_ns: int) -> _Stretch | None:
        found = None
        for stretch in self._stretches.get(scope, ()):
            if stretch.since_ns > at_ns:
                break
            found = stretch
        return found
