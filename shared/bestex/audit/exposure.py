"""Never an overfill, as the venues saw it: at every instant, over all slices and venues of a parent together.

A child weighs with its whole quantity from the moment it is written down until it ends, known or unknown, and with
what it has filled from then on. The streams' own times order the events of different streams: what follows from an
end was stored after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from bestex.audit.children import ChildHistory
from bestex.audit.parents import ParentHistory
from bestex.audit.report import Findings, Witness
from bestex.units import total

Key = tuple[str, str]
_Change = tuple[int, Decimal, Decimal, int, Witness]  # stored at, by how much, at the venue, the slice, where


def check_exposure(
    findings: Findings, parents: Mapping[Key, ParentHistory], children: Iterable[ChildHistory]
) -> None:
    changes: dict[Key, list[_Change]] = {}
    for child in children:
        if child.owner is not None and not child.partial:
            symbol, parent_id, number = child.owner
            own = changes.setdefault((symbol, parent_id), [])
            own.extend((at_ns, qty, working, number, at) for at_ns, qty, working, at in child.weights())
    for key, own in changes.items():
        parent = parents.get(key)
        if parent is not None and not parent.partial and parent.accepted is not None:
            _check(findings, parent, own)


def _check(findings: Findings, parent: ParentHistory, changes: list[_Change]) -> None:
    weight, at_work = Decimal(0), dict[int, Decimal]()
    # At one instant, what is given back goes before what is taken.
    for at_ns, qty, working, number, witness in sorted(changes, key=lambda change: change[:2]):
        weight = total(weight, qty)
        at_work[number] = total(at_work.get(number, Decimal(0)), working)
        item = parent.slices.get(number)
        if qty <= 0 or item is None:
            continue
        # What went out before less was wanted may still fill, whatever goes out after it.
        made = [
            parent.slices[one].witness.at_ns for one, qty in at_work.items() if qty and one in parent.slices
        ]
        most = max(map(parent.wanted_at, (*made, at_ns)))
        if weight > most:
            text = f"parent {parent.name}: {weight} filled or at venues, of {most}"
            findings.add(3, "exposed", text, item.witness, witness)
