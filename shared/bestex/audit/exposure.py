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
_Change = tuple[int, Decimal, int, Witness]  # stored at, by how much, the slice, where


def check_exposure(
    findings: Findings, parents: Mapping[Key, ParentHistory], children: Iterable[ChildHistory]
) -> None:
    changes: dict[Key, list[_Change]] = {}
    for child in children:
        if child.owner is not None and not child.partial:
            symbol, parent_id, number = child.owner
            own = changes.setdefault((symbol, parent_id), [])
            own.extend((at_ns, qty, number, witness) for at_ns, qty, witness in child.weights())
    for key, own in changes.items():
        parent = parents.get(key)
        if parent is not None and not parent.partial and parent.accepted is not None:
            _check(findings, parent, own)


def _check(findings: Findings, parent: ParentHistory, changes: list[_Change]) -> None:
    weight = Decimal(0)
    largest = Decimal(0)  # that was wanted when one of the slices at the venues was made
    # At one instant, what is given back goes before what is taken.
    for at_ns, qty, number, witness in sorted(changes, key=lambda change: change[:2]):
        weight = total(weight, qty)
        item = parent.slices.get(number)
        if qty <= 0 or item is None:
            continue
        # What went out before less was wanted may still fill, whatever else goes out after it.
        largest = max(largest, parent.wanted_at(item.witness.at_ns))
        most = max(largest, parent.wanted_at(at_ns))
        if weight > most:
            text = f"parent {parent.name}: {weight} filled or at venues, of {most}"
            findings.add(3, "exposed", text, item.witness, witness)
