"""Plans without a bus: on a book that is given. The same code as the router's, on another market."""

from __future__ import annotations

from bestex import book_file, plugins
from bestex import messages as m
from bestex.config import Config
from services.router.plan import Market, make_plan


def plan_on_book(request: m.PlanRequest, data: bytes, config: Config, now_ns: int) -> m.Plan:
    """On the book of a file (`bestex.book_file`). UsageError and ConfigError say what is wrong with it."""
    given = book_file.read(data, config, now_ns)
    strategies = {name: plugins.load(plugins.STRATEGIES, name) for name in plugins.STRATEGIES}
    instruments = given.config.make_instruments()
    market = Market(instruments, given.config, strategies, {given.book.symbol: given.book})
    return make_plan(request, now_ns, market)
