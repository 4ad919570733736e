"""What a simulated venue takes of a trade: its listing's fees, or those of the tier that an account has reached.

A venue counts what an account has traded there in quote, on all markets and with both hands of it, since its journal
began (real ones count thirty days), and asks the fee of the highest tier whose volume was reached before the request.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from bestex.config_terms import FeeTier
from bestex.instruments import BPS_E8, Listing


class Tiers:
    """Of one venue. Without tiers every listing's own fees hold."""

    def __init__(self, tiers: Sequence[FeeTier] = ()) -> None:
        self._tiers = sorted(tiers, key=lambda tier: tier.volume)
        self._traded: dict[str, Decimal] = {}

    def note(self, account: str, quote: Decimal) -> None:
        """The account has traded that much more."""
        self._traded[account] = self._traded.get(account, Decimal(0)) + quote

    def fee_e8(self, listing: Listing, account: str, *, is_taker: bool) -> int:
        """In 1e-8 of a notional unit."""
        fee_e8 = listing.taker_fee_e8 if is_taker else listing.maker_fee_e8
        traded = self._traded.get(account, Decimal(0))
        for tier in self._tiers:
            if tier.volume > traded:
                break
            fee_e8 = int((tier.taker_bps if is_taker else tier.maker_bps) * BPS_E8)
        return fee_e8
