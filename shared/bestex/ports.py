"""Ports on loopback for the servers of this machine, so that no two platforms that start at once take the same."""

from __future__ import annotations

import random
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from bestex.errors import UsageError

ATTEMPTS = 20  # of ports, while others claim them just then
LOWEST = 20_000  # below it are the ports of servers that everybody knows
ENOUGH = 1_000  # ports to choose among
# What Linux gives to connections that name no port of their own.
OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")


@dataclass(frozen=True)
class PortClaim:
    """A port that nobody listened on, and that no other claim names while this one is held.

    A look whether a port is free says nothing of the seconds until a server starts there. `holder` is a socket of
    an abstract name, which the kernel knows machine-wide and forgets with the process, however that ends. Where
    there are no such names (not on Linux) it is None, and a port that is free counts as claimed.
    """

    port: int
    holder: socket.socket | None

    def release(self) -> None:
        if self.holder is not None:
            self.holder.close()


def claim_port(wanted: int = 0) -> PortClaim:
    """`wanted` if it is free and unclaimed, else another port; 0: any. UsageError where there is none."""
    for number in range(1 + ATTEMPTS):
        found = _free(wanted if wanted and not number else _offered())
        if found is None:
            continue
        if sys.platform != "linux":
            return PortClaim(found, None)
        holder = socket.socket(socket.AF_UNIX)
        try:
            holder.bind(f"\0bestex-port-{found}")
        except OSError:
            holder.close()
            continue
        return PortClaim(found, holder)
    raise UsageError("this machine has no free port on loopback")


def free_port() -> int:
    """A port that is free now, claimed by nobody: for a server that starts at once."""
    claim = claim_port()
    claim.release()
    return claim.port


def _offered() -> int:
    """One that no outgoing connection is given, so that it is still there for a server that starts again, and no
    client that tries to reach it meanwhile is connected to itself. 0, the system's choice, where that is unknown."""
    try:
        first = int(OUTGOING.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0
    return random.SystemRandom().randrange(LOWEST, first) if first >= LOWEST + ENOUGH else 0


def _free(port: int) -> int | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return None
        return int(probe.getsockname()[1])
