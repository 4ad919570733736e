"""A real venue on paper: its market is the real one, its orders go to the simulated exchange, and nothing leaves.

The exchange hears the venue's books and trades from the bus (`services/exchange/heard.py`) and fills against them,
with the listing's fees, ticks, lots and minimums. So that paper shows nothing that the real venue would not do, its
capabilities are at most those of the real adapter.
"""

from __future__ import annotations

import msgspec

from bestex.clock import AffineClock
from bestex.config import Config
from bestex.venues import stated_capabilities
from services.gateway import port as p
from services.gateway.venues.sim import SimVenue


class PaperVenue(SimVenue):
    def __init__(self, name: str, config: Config, clock: AffineClock) -> None:
        super().__init__(name, config, clock)
        stated = stated_capabilities(name, config)
        if stated is not None:
            self.capabilities = at_most(self.capabilities, stated)


def at_most(own: p.Capabilities, real: p.Capabilities) -> p.Capabilities:
    """What the simulation can and the real venue too. What tells how to look for orders stays the simulation's."""
    return msgspec.structs.replace(
        own,
        tifs=own.tifs & real.tifs,
        post_only=own.post_only and real.post_only,
        native_replace=own.native_replace and real.native_replace,
        native_iceberg=own.native_iceberg and real.native_iceberg,
        min_qty=own.min_qty and real.min_qty,
        conditional=own.conditional and real.conditional,
        in_flight_max=min(own.in_flight_max, real.in_flight_max),
        calendar=real.calendar,
    )
