"""Dividing a quantity over venues by weights, on their lots and within their room: nothing is lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bestex.ladder import Level
from bestex.units import floor_to
from services.router.strategies.base import RouteTask, walk


def apportion(
    qty: int, weights: Mapping[str, int], rooms: Mapping[str, int], lots: Mapping[str, int]
) -> dict[str, int]:
    """Parts of `qty` in proportion to the positive `weights`, each on its lot and at most its room.

    What one has no room for goes to the others, in the same proportion. The parts sum to `qty`, less what is
    smaller than any lot that there is room for. A lot too many goes to the venue that stands first.
    """
    parts = dict.fromkeys(weights, 0)
    left = qty
    while True:
        free = {
            venue: floor_to(min(rooms[venue] - parts[venue], left), lots[venue])
            for venue in weights
            if lots[venue] <= min(rooms[venue] - parts[venue], left)
        }
        if not free:
            break
        shares = _shares(left, weights, free)
        gains = {venue: floor_to(share, lots[venue]) for venue, share in shares.items()}
        if not any(gains.values()):
            # Less than a lot each. One that is due the most gets one, so `left` shrinks by its n-th part.
            first = max(shares, key=lambda venue: (shares[venue], -parts[venue] / weights[venue]))
            gains = {first: lots[first]}
        for venue, gain in gains.items():
            parts[venue] += gain
        left -= sum(gains.values())
    assert sum(parts.values()) + left == qty, "a split conserves"
    return parts


def _shares(qty: int, weights: Mapping[str, int], rooms: Mapping[str, int]) -> dict[str, int]:
    """`qty` in proportion to the weights, rounded down; who is full gets its room, and the others share the rest."""
    shares: dict[str, int] = {}
    open_to = dict(rooms)
    while open_to:
        mass = sum(weights[venue] for venue in open_to)
        full = {venue: cap for venue, cap in open_to.items() if qty * weights[venue] >= cap * mass}
        if not full:
            return shares | {venue: qty * weights[venue] // mass for venue in open_to}
        for venue, cap in full.items():
            shares[venue] = cap
            qty -= cap
            del open_to[venue]
    return shares


def take_parts(
    task: RouteTask, parts: Mapping[str, int], levels: Mapping[str, list[Level]]
) -> dict[str, list[tuple[int, int]]]:
    """Each venue's part from its own levels: (own price, quantity) by venue, without those that get nothing."""
    taken: dict[str, list[tuple[int, int]]] = {}
    for venue, part in parts.items():
        taken |= walk(replace(task, qty=part), levels[venue], frozenset())
    return taken
