"""A market as it stood at one time of a recording: books and what was known of them then."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bestex import messages as m
from bestex import plugins
from bestex.clock import MS
from services.backtester.session import VirtualSession
from services.router.core import RouterCore
from services.router.plan import Market, make_plan

ANSWER_NS = 10 * MS  # far more than an answer takes on virtual time


def plan_at(
    request: m.PlanRequest, paths: Sequence[Path], after_ns: int, cache_dir: Path, config_text: str = ""
) -> m.Plan:
    """What the router would have done `after_ns` after the recordings' first message. RecordingError as ever."""
    session, at_ns = _at(paths, after_ns, cache_dir, config_text)
    core = session.core("router")
    assert isinstance(core, RouterCore), "that is the router's"
    strategies = {name: plugins.load(plugins.STRATEGIES, name) for name in plugins.STRATEGIES}
    instruments = session.config.make_instruments()
    market = Market(instruments, session.config, strategies, core.books, core.stats)
    return make_plan(request, at_ns, market)


def schedule_at(
    order: m.ParentOrder, paths: Sequence[Path], after_ns: int, cache_dir: Path, config_text: str = ""
) -> m.ParentAccepted | m.ParentRejected:
    """What the scheduler would have answered to an order then. RecordingError as ever."""
    session, _ = _at(paths, after_ns, cache_dir, config_text)
    parent_id = session.submit(order)
    session.run(session.now_ns + ANSWER_NS)
    answers = [stored.message for stored in session.events(f"parent.*.{parent_id}.*")]
    assert answers, "a scheduler answers at once"
    answer: m.ParentAccepted | m.ParentRejected = answers[0]
    return answer


def _at(
    paths: Sequence[Path], after_ns: int, cache_dir: Path, config_text: str
) -> tuple[VirtualSession, int]:
    session = VirtualSession.on_recordings(paths, cache_dir, config_text=config_text)
    at_ns = session.now_ns + after_ns
    session.run(at_ns)
    return session, at_ns
