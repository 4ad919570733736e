"""Child processes that do not outlive their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent() -> Callable[[], None] | None:
    """For Popen's `preexec_fn`: the kernel kills the child when the thread that started it ends.

    A supervisor that is killed with -9 cannot stop its services; left behind they would fight the next
    session's for the same histories. Linux only; None elsewhere, where nothing of the kind exists. SIGKILL is
    harmless: surviving it is what every service is built for.
    """
    if sys.platform != "linux":
        return None
    libc, parent = ctypes.CDLL(None), os.getpid()  # looked up before the fork, where that is still safe

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return ask
