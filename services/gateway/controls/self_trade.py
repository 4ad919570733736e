"""Self-trade prevention: a child that would meet an order of ours at its venue is not sent.

An order of ours counts from the moment it is written down, unknown ones included, and at the price that is worse
for us of those that a replace leaves open. What never rests (IOC, FOK) is met by nobody.
"""

from __future__ import annotations

from collections.abc import Sequence

from bestex.errors import Code
from bestex.limits import SelfTradeLimits
from bestex.messages import Side, Tif
from services.gateway.controls.wanted import Refusal, Wanted
from services.gateway.orders import Child

_NEVER_RESTS = frozenset({Tif.IOC, Tif.FOK})

_Queue = tuple[str, str, Side]


class SelfTrade:
    """Keeps the open children that may rest, by venue, symbol and side."""

    def __init__(self, limits: SelfTradeLimits) -> None:
        self._limits = limits
        self.resting: dict[_Queue, dict[str, Child]] = {}

    # -- from the journal --------------------------------------------------------------------------------------

    def submitted(self, child: Child) -> None:
        if child.tif not in _NEVER_RESTS:
            self.resting.setdefault((child.venue, child.symbol, child.side), {})[child.child_id] = child

    def ended(self, child: Child) -> None:
        self.resting.get((child.venue, child.symbol, child.side), {}).pop(child.child_id, None)

    # -- before a send -----------------------------------------------------------------------------------------

    def check(self, wanted: Wanted) -> Refusal | None:
        if self._limits.policy == "off":
            return None
        met = next(iter(self._met(wanted)), None)
        if met is None:
            return None
        text = f"it would meet our own {met.side} {met.child_id} of {met.parent_id}"
        return Refusal(Code.SELF_TRADE, text)

    def to_cancel(self, wanted: Wanted) -> list[Child]:
        """Our resting orders that make way, where the configuration says that they do."""
        if self._limits.policy != "cancel_resting":
            return []
        return [child for child in self._met(wanted) if child.cancel is None]

    def _met(self, wanted: Wanted) -> list[Child]:
        """Our own orders that it could trade with."""
        opposite = self.resting.get((wanted.venue, wanted.symbol, wanted.side.opposite), {})
        groups = self._limits.groups
        return [
            child
            for child in opposite.values()
            if _crosses(wanted, child) and _one_owner(wanted.account, child.account, groups)
        ]


def _crosses(wanted: Wanted, child: Child) -> bool:
    prices = [child.price] if child.replacing is None else [child.price, child.replacing.price]
    if wanted.side is Side.BUY:
        return wanted.price >= min(prices)
    return wanted.price <= max(prices)


def _one_owner(one: str, other: str, groups: Sequence[Sequence[str]]) -> bool:
    """`groups`: accounts of one owner; none: all accounts are one."""
    return one == other or not groups or any(one in group and other in group for group in groups)
