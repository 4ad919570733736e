"""Where what does not cross of a slice is posted at its limit."""

from __future__ import annotations

from collections.abc import Collection

from bestex.config import Config
from bestex.messages import BookStatus, ConsolidatedBook
from services.router.routing import rest_leg
from services.router.state import SliceState
from services.router.strategies.base import Allocation


def rest_of(
    state: SliceState, config: Config, book: ConsolidatedBook | None, taken: int, avoid: Collection[str]
) -> Allocation | None:
    """On the best venue whose book is live and that may be used; None where none takes it. `taken`: how much of what
    is left is routed otherwise.

    Whether an order that is shown in parts is the venue's or ours to refresh is decided here and nowhere else: only
    the router knows which venues can be reached, and are neither halted nor left alone, at the moment of the choice.
    """
    assert state.limit is not None, "only a limit can rest"
    shown = [] if book is None else book.venues
    reached = state.may_rest_at({one.venue for one in shown if one.status is BookStatus.LIVE}) - set(avoid)
    return rest_leg(
        state.instrument,
        config,
        state.slice.side,
        state.left - taken,
        state.limit,
        reached,
        post_only=state.slice.post_only,
        display=state.display,
        least=state.min_fill,
    )
