"""From a task to offers: each venue's levels within the limit, with its fees, its ticket, its least and its most."""

from __future__ import annotations

from bestex.instruments import FEE_ONE
from bestex.messages import Side
from bestex.units import floor_to
from services.router.exact.offer import Offer, least_of
from services.router.strategies.base import RouteTask


def offers_of(task: RouteTask, *, alone: bool) -> list[Offer]:
    """In the order of the ladder's venues. `alone`: as the only part, to which no least size of a split applies."""
    made, sign, buy = [], task.side.sign, task.side is Side.BUY
    for _, column in task.ladder.columns:
        terms = task.terms.get(column.venue)
        if terms is None:
            continue
        prices, quantities = (column.ask_px, column.ask_qty) if buy else (column.bid_px, column.bid_qty)
        owns, sizes, depth, room = [], [], 0, min(terms.cap, task.qty)
        for own, size in zip(prices, quantities, strict=True):
            if depth >= room or not task.within(own):
                break
            owns.append(own)
            sizes.append(size)
            depth += size
        if not owns:
            continue
        listing = terms.listing
        factor, basis = task.rank_factor(column.venue) * sign, column.basis * FEE_ONE * sign
        made.append(
            Offer(
                venue=column.venue,
                nets=[own * factor - basis for own in owns],
                owns=owns,
                sizes=sizes,
                lot=listing.lot,
                least=least_of(
                    owns,
                    sizes,
                    listing.lot,
                    listing.min_qty,
                    listing.min_notional,
                    0 if alone else task.min_split_notional,
                ),
                most=floor_to(min(room, depth), listing.lot),
                ticket=listing.ticket_fee * FEE_ONE,
            )
        )
    return made
