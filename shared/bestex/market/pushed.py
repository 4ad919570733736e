"""What our own orders have done to the market model's price: a part for good, the rest decays."""

from __future__ import annotations

from bestex.impact.settings import OwnImpact

GONE_BPS = 0.01  # a fifth of the finest spread there is; makers take no notice of less


class Pushed:
    """Linear transient impact with an exponential kernel (`bestex.impact.transient`), as one number that decays.

    Linear, because a model that is concave in size and decays at once would pay whoever goes round in circles
    (Gatheral 2010).
    """

    __slots__ = ("_at_ns", "_half_life_ns", "_passing_bps", "_per_unit", "_permanent", "_permanent_bps")

    def __init__(self, own: OwnImpact, best_notional_units: float) -> None:
        """`best_notional_units`: what moves the price by `own.move_bps`, in price units x quantity units."""
        self._per_unit = own.move_bps / best_notional_units
        self._permanent = float(own.permanent)
        self._half_life_ns = int(own.half_life)
        self._passing_bps = self._permanent_bps = 0.0
        self._at_ns = 0

    def push(self, at_ns: int, notional_units: int) -> None:
        """Somebody of ours took so much at `at_ns`: above zero bought, below zero sold. In time order."""
        move = self._per_unit * notional_units
        self._passing_bps = self._passing(at_ns) + move * (1 - self._permanent)
        self._permanent_bps += move * self._permanent
        self._at_ns = at_ns

    def bps(self, now_ns: int) -> float:
        """How far the price stands from where it would be, + upwards."""
        return self._permanent_bps + self._passing(now_ns)

    def is_passing(self, now_ns: int) -> bool:
        """Whether there is still something to come back."""
        return abs(self._passing(now_ns)) > GONE_BPS

    def _passing(self, now_ns: int) -> float:
        left: float = 0.5 ** ((now_ns - self._at_ns) / self._half_life_ns)
        return self._passing_bps * left
