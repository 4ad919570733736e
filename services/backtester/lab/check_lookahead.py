"""`bestex lab lookahead`: orders of a file, worked on recordings whose future is replaced at several times."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from bestex import replay_config
from bestex.errors import UsageError
from bestex.recording import open_recording
from services.backtester.__main__ import read_orders
from services.backtester.lab.lookahead import LookAhead, check
from services.backtester.session import VirtualSession

TIMES_MAX = 100  # each is two backtests up to it


def of_orders(
    orders: Path, files: Sequence[Path], times: int, seed: int, config_text: str, cache_dir: Path
) -> LookAhead:
    """At `times` moments, evenly from the first order to the recordings' end. Errors as those of a backtest."""
    if not 1 <= times <= TIMES_MAX:
        raise UsageError(f"--times {times}: must be from 1 to {TIMES_MAX}")
    planned = read_orders(orders)
    if not planned:
        raise UsageError(f"{orders}: there is no order in it")
    paths = replay_config.own_format(files, cache_dir)

    def make(recordings: Sequence[Path]) -> VirtualSession:
        session = VirtualSession.on_recordings(recordings, cache_dir, seed=seed, config_text=config_text)
        start_ns = session.now_ns
        for one in planned:
            parent_id = session.submit(one.order, start_ns + one.after)
            if one.cancel_after is not None:
                session.cancel(parent_id, start_ns + one.cancel_after)
        return session

    recording = open_recording(*paths)
    first_ns = recording.start_ns + min(one.after for one in planned)
    if first_ns >= recording.end_ns:
        raise UsageError(f"{orders}: the first order comes after the recordings' end")
    step_ns = (recording.end_ns - first_ns) // (times + 1)
    moments = [first_ns + step_ns * (number + 1) for number in range(times)]
    with tempfile.TemporaryDirectory(prefix="bestex-lookahead-") as scratch:
        return check(paths, make, moments, Path(scratch))
