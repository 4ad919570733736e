"""Instruments that are not to be traded: at all, on one side, or sold short."""

from __future__ import annotations

from collections.abc import Sequence

from bestex.errors import Code
from bestex.limits import Restriction
from bestex.messages import Side
from services.gateway.controls.ledger import Ledger
from services.gateway.controls.wanted import Refusal, Wanted


def check(wanted: Wanted, rules: Sequence[Restriction], ledger: Ledger) -> Refusal | None:
    for rule in rules:
        if rule.symbol == wanted.symbol and rule.account in ("", wanted.account):
            why = f": {rule.reason}" if rule.reason else ""
            if rule.what in ("all", wanted.side):
                what = "" if rule.what == "all" else f" ({rule.what})"
                return Refusal(Code.RESTRICTED, f"{wanted.symbol} is not to be traded{what}{why}")
            if rule.what == "short" and wanted.side is Side.SELL and _is_short(wanted, rule, ledger):
                return Refusal(Code.RESTRICTED, f"{wanted.symbol} is not to be sold short{why}")
    return None


def _is_short(wanted: Wanted, rule: Restriction, ledger: Ledger) -> bool:
    """Whether the position would be below zero if all open sells and this one filled, and no open buy did."""
    held = sum(sums.position - sums.sells for _, sums in ledger.matching(rule.account, "", wanted.symbol))
    return rule.start_position + wanted.shown(held - wanted.more) < 0
