"""A market as it stood at one time of a recording: books and what was known of them then."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bestex import messages as m
from bestex import plugins
from services.backtester.session import VirtualSession
from services.router.core import RouterCore
from services.router.plan import Market, make_plan


def plan_at(
    request: m.PlanRequest, paths: Sequence[Path], after_ns: int, cache_dir: Path, config_text: str = ""
) -> m.Plan:
    """What the router would have done `after_ns` after the recordings' first message. RecordingError as ever."""
    session = VirtualSession.on_recordings(paths, cache_dir, config_text=config_text)
    at_ns = session.now_ns + after_ns
    session.run(at_ns)
    core = session.core("router")
    assert isinstance(core, RouterCore), "that is the router's"
    strategies = {name: plugins.load(plugins.STRATEGIES, name) for name in plugins.STRATEGIES}
    instruments = session.config.make_instruments()
    market = Market(instruments, session.config, strategies, core.books, core.stats)
    return make_plan(request, at_ns, market)
