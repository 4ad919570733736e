"""A venue that does nothing: copy this file, fill it in, and add one line to GATEWAYS in `bestex.plugins`.

The rules, whose breaking costs money:

1. `submit` makes one network send and awaits nothing before it. Turn every retry of the client library off.
2. "Not sent" needs proof (no connection, or an error before the first byte). "Rejected" needs the venue's own
   explicit answer with a code of your list of definitive ones. Everything else is `VenueUnknown`. A duplicate
   id is `VenueRejected` with DUPLICATE_ORDER: the core then looks.
3. `VenueAbsent` means that the venue answered that it has no such order, not that it failed to answer.
4. A trade has the same `trade_id` on the stream and in every query, or it will be counted twice.
5. Fills are said before the end that they lead to. Read the open orders before the trades, so that what fills
   in between is not missed.
6. Say UP after every (re)connect, DOWN at every loss: the core then reconciles.
7. Every request has a time limit of its own. Nothing raises for what a venue does.

Prices and quantities are integers in the instrument's units; convert to the venue's symbol and contracts by
`self._listings[symbol]`, exactly. `tests/unit/gateway/test_sim.py` shows how an adapter is tested.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from bestex.clock import AffineClock
from bestex.config import Config
from bestex.errors import Code
from bestex.instruments import Listing
from services.gateway import port as p


class TemplateVenue:
    """Has no connection, ever: nothing is sent, and no question is answered."""

    capabilities = p.Capabilities()

    def __init__(self, name: str, config: Config, clock: AffineClock) -> None:
        instruments = config.make_instruments().all
        self._listings = {i.symbol: listing for i in instruments if (listing := i.listing(name)) is not None}
        self._timeout_s = clock.wall_seconds(config.execution.timeout)

    async def connect(self, say: p.Say, now_ns: Callable[[], int]) -> None:
        self._say, self._now_ns = say, now_ns

    async def disconnect(self) -> None:
        return None

    async def instruments(self) -> Sequence[Listing]:
        return []

    async def submit(self, order: p.Submit) -> Sequence[p.Said]:
        return [p.VenueNotSent(child_id=order.child_id, code=Code.VENUE_DOWN, text="no connection")]

    async def cancel(self, order: p.Cancel) -> Sequence[p.Said]:
        return [_unanswered(order.child_id)]

    async def modify(self, order: p.Replace) -> Sequence[p.Said]:
        return [_unanswered(order.child_id)]

    async def firm(self, order: p.Firm) -> Sequence[p.Said]:
        return [_unanswered(order.child_id)]

    async def query_order(self, query: p.QueryOrder) -> Sequence[p.Said]:
        return [_unanswered(query.child_id)]

    async def open_orders(self) -> Sequence[p.VenueAccepted] | None:
        return None

    async def fills_since(self, since_ns: int) -> Sequence[p.VenueFill] | None:  # noqa: ARG002
        return None

    async def mass_status(self, ask: p.MassStatus) -> Sequence[p.Said] | None:  # noqa: ARG002
        return None

    async def balances(self) -> dict[str, Decimal] | None:
        return None

    async def positions(self) -> dict[str, int] | None:
        return None

    async def fees(self) -> dict[str, tuple[int, int]] | None:
        return None

    async def arm(self, timeout_ns: int) -> bool:  # noqa: ARG002
        return False


def _unanswered(child_id: str) -> p.VenueUnanswered:
    return p.VenueUnanswered(child_id=child_id, code=Code.VENUE_DOWN, text="no connection")
