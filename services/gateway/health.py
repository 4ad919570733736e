"""The gateway's answer to `bestex venues`."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from bestex import codec
from bestex import messages as m
from bestex.clock import Time
from bestex.config_venue import VenueConfig
from services.gateway.core import GatewayCore
from services.gateway.desk import Desk


def answer(
    _data: bytes, _now_ns: int, *, venues: Mapping[str, VenueConfig], core: GatewayCore, desk: Desk
) -> bytes:
    """A `VenuesAnswer` of the venues that this process serves."""
    found = []
    for name, settings in venues.items():
        state, text, since_ns, ahead_ms = desk.health(name)
        found.append(
            m.VenueHealth(
                venue=name,
                kind=settings.kind,
                session=state.value,
                text=text,
                since=Time(since_ns) if since_ns else None,
                open_orders=len(core.memory.open[name]),
                clock_ahead_ms=ahead_ms,
            )
        )
    process = f"{socket.gethostname()}:{os.getpid()}"
    return codec.to_json(m.VenuesAnswer(service="gateway", process=process, venues=found))
