"""Self-trade prevention: a child that would meet an order of ours at its venue is not sent.

An order of ours counts from the moment it is written down, unknown ones included, and at the price that is worse
for us of those that a replace leaves open. What never rests (IOC, FOK) is met by nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bestex.messages import Side, Tif
from services.gateway.controls.wanted import Wanted
from services.gateway.orders import Child

_NEVER_RESTS = frozenset({Tif.IOC, Tif.FOK})


def met(wanted: Wanted, open_children: Iterable[Child], groups: Sequence[Sequence[str]]) -> list[Child]:
    """Our own orders that `wanted` could trade with. `groups`: accounts of one owner; none: all are one."""
    return [
        child
        for child in open_children
        if child.side is not wanted.side
        and child.symbol == wanted.symbol
        and child.tif not in _NEVER_RESTS
        and child.reserved
        and _crosses(wanted, child)
        and _one_owner(wanted.account, child.account, groups)
    ]


def _crosses(wanted: Wanted, child: Child) -> bool:
    prices = [child.price] if child.replacing is None else [child.price, child.replacing.price]
    if wanted.side is Side.BUY:
        return wanted.price >= min(prices)
    return wanted.price <= max(prices)


def _one_owner(one: str, other: str, groups: Sequence[Sequence[str]]) -> bool:
    return one == other or not groups or any(one in group and other in group for group in groups)
