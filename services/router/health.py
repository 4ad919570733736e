"""The router's answer to `bestex venues`: which of them it leaves alone now, and why."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable

from bestex import codec
from bestex import messages as m
from services.router.venues import Venues


def answer(_data: bytes, now_ns: int, *, names: Iterable[str], venues: Venues) -> bytes:
    """A `VenuesAnswer`."""
    found = [m.VenueHealth(venue=name, breaker=venues.avoid(name, now_ns)) for name in names]
    process = f"{socket.gethostname()}:{os.getpid()}"
    return codec.to_json(m.VenuesAnswer(service="router", process=process, venues=found))
