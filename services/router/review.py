"""What becomes of what rests, when it is looked at: it stays, follows its venue's best price, or is routed again.

It follows where the venue can change an order in place (`native_replace`), once for each child: a second change would
have to wait for the outcome of the first, of which the router does not hear.
"""

from __future__ import annotations

from collections.abc import Sequence

from bestex import messages as m
from bestex.clock import SECOND, Time
from bestex.contained import PluginFailed, asked
from services.router.routing import Ask, make_task
from services.router.state import SliceState
from services.router.strategies.base import Strategy

LOOK_NS = SECOND  # after a change of price


def review(
    strategy: Strategy | str, ask: Ask, state: SliceState, resting: Sequence[str]
) -> int | m.RouteRepriced | m.RouteWithdrawn:
    """When to look again, or what is to be done. `strategy` is a text where there is none any more. Raises
    PluginFailed where it fails."""
    config, now_ns = ask.config, ask.now_ns
    withdrawn = m.RouteWithdrawn(**state.base(now_ns), children=list(resting))
    if isinstance(strategy, str):
        return withdrawn
    task, _ = make_task(strategy, ask)
    if task is None:
        return withdrawn
    children = [state.children[child_id] for child_id in resting]
    places = [(child.venue, child.price) for child in children]
    again_ns = asked(strategy, strategy.keeps, task, state.decided_ns, places, gives=int)
    if again_ns:
        return again_ns
    prices = asked(strategy, strategy.reprices, task, state.decided_ns, places, gives=Sequence)
    if len(prices) not in (0, len(places)):
        raise PluginFailed(strategy, ValueError(f"{len(prices)} prices for {len(places)} that rest"))
    if not all(isinstance(price, int) and price > 0 for price in prices):
        raise PluginFailed(strategy, ValueError(f"{prices!r} for prices"))
    moved = [
        (child_id, child, price)
        for child_id, child, price in zip(resting, children, prices, strict=bool(prices))
        if price != child.price
    ]
    able = all(config.venues[child.venue].native_replace and not child.replaced for _, child, _ in moved)
    if not moved or not able:
        return withdrawn
    instrument = state.instrument
    return m.RouteRepriced(
        **state.base(now_ns),
        children=[
            m.Repriced(child_id, instrument.qty(c.qty), instrument.price(price))
            for child_id, c, price in moved
        ],
        expires_at=Time(min(now_ns + int(config.execution.child_ttl), state.expires_ns)),
        review_at=Time(min(now_ns + LOOK_NS, state.expires_ns)),
    )
