"""Why a venue would not take an order by its terms: grid, minimums, maximums, and what it may show of it."""

from __future__ import annotations

from bestex.errors import Code
from bestex.instruments import Listing
from bestex.matching.book import Order

# Of an order with a display quantity: each is a trade of its own for whoever takes all of it.
MAX_PARTS = 1_000

Refusal = tuple[Code, str]


def bad_terms(terms: Listing, qty: int, price: int, has_value: bool = True) -> Refusal | None:
    """In units. `has_value`: the price is one at which it would trade."""
    if qty <= 0:
        return Code.INVALID_QTY, "the quantity must be positive"
    if qty % terms.lot:
        return Code.OFF_LOT, f"the quantity must be a multiple of {terms.lot} units"
    if qty < terms.min_qty:
        return Code.BELOW_MINIMUM, f"the quantity must be {terms.min_qty} units or more"
    if terms.max_qty and qty > terms.max_qty:
        return Code.LIMIT_EXCEEDED, f"the quantity must be {terms.max_qty} units or less"
    if price <= 0:
        return Code.INVALID_PRICE, "the price must be positive"
    if not terms.on_grid(price):
        return Code.OFF_TICK, f"the price must be a multiple of {terms.tick_at(price)} units"
    if has_value and qty * price < terms.min_notional:
        return Code.BELOW_MINIMUM, f"quantity times price must be {terms.min_notional} units or more"
    return None


def bad_display(terms: Listing, order: Order) -> Refusal | None:
    """Of an order with a display quantity."""
    if not order.rests:
        return Code.INVALID_PARAMETER, "a display quantity needs a time in force that rests"
    if not 0 < order.display <= order.qty:
        return Code.INVALID_QTY, "the display quantity must be above zero and within the quantity"
    if order.display % terms.lot:
        return Code.OFF_LOT, f"the display quantity must be a multiple of {terms.lot} units"
    if order.display * MAX_PARTS < order.qty:
        return Code.LIMIT_EXCEEDED, f"a display quantity makes {MAX_PARTS} parts at most"
    if order.display < terms.min_qty:
        return Code.BELOW_MINIMUM, f"the display quantity must be {terms.min_qty} units or more"
    return None
