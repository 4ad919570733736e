"""Ports on loopback for the servers of this machine, so that no two platforms that start at once take the same."""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass

from bestex.errors import UsageError

ATTEMPTS = 20  # of ports that the system offers while others claim them just then


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
    for port in (wanted, *(0 for _ in range(ATTEMPTS))):
        found = _free(port)
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


def _free(port: int) -> int | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return None
        return int(probe.getsockname()[1])
