"""Limits of position and open value, at their worst: as if every open buy filled, and as if every open sell did."""

from __future__ import annotations

from collections.abc import Sequence

from bestex.errors import Code
from bestex.limits import ExposureLimit
from bestex.messages import Side
from bestex.units import from_units, total
from services.gateway.controls.ledger import Ledger
from services.gateway.controls.wanted import Refusal, Wanted


class Exposure:
    """`scales` are, by symbol, the digits of quote in price units x quantity units: symbols differ in them."""

    def __init__(self, limits: Sequence[ExposureLimit], scales: dict[str, int]) -> None:
        self._limits = limits
        self._scales = scales

    def check(self, wanted: Wanted, ledger: Ledger) -> Refusal | None:
        for limit in self._limits:
            named = (
                (limit.account, wanted.account),
                (limit.venue, wanted.venue),
                (limit.symbol, wanted.symbol),
            )
            if any(name not in ("", own) for name, own in named):
                continue
            refusal = self._position(wanted, ledger, limit) or self._open_value(wanted, ledger, limit)
            if refusal is not None:
                return refusal
        return None

    def _position(self, wanted: Wanted, ledger: Ledger, limit: ExposureLimit) -> Refusal | None:
        if limit.max_position is None:
            return None
        held = bought = sold = 0
        for _, sums in ledger.matching(limit.account, limit.venue, limit.symbol):
            held, bought, sold = held + sums.position, bought + sums.buys, sold + sums.sells
        worst = held + bought + wanted.more if wanted.side is Side.BUY else held - sold - wanted.more
        position = limit.start_position + wanted.shown(worst)
        # Whatever brings it back towards zero may go, however far beyond the limit it stands.
        if wanted.side.sign * position <= limit.max_position:
            return None
        text = f"the position {_of(limit)} might become {position}, beyond {limit.max_position}"
        return Refusal(Code.POSITION_LIMIT, text)

    def _open_value(self, wanted: Wanted, ledger: Ledger, limit: ExposureLimit) -> Refusal | None:
        if limit.max_open_value is None:
            return None
        values = [
            from_units(sums.value, self._scales[place.symbol])
            for place, sums in ledger.matching(limit.account, limit.venue, limit.symbol)
        ]
        value = total(*values, wanted.instrument.cash(wanted.more_value))
        if value <= limit.max_open_value:
            return None
        text = f"the open orders {_of(limit)} would be worth {value}, above {limit.max_open_value}"
        return Refusal(Code.OPEN_VALUE_LIMIT, text)


def _of(limit: ExposureLimit) -> str:
    names = {"account": limit.account, "symbol": limit.symbol, "venue": limit.venue}
    return " ".join(f"of {kind} {name}" for kind, name in names.items() if name) or "of all"
