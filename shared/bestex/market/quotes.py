"""One side of one venue's displayed book, as the market model keeps it."""

from __future__ import annotations

from math import ceil, floor

from bestex.instruments import Listing


class Quotes:
    """Price levels, best first. `side` is +1 bid, -1 ask. Every change goes through `put`."""

    def __init__(self, side: int, listing: Listing) -> None:
        self.side = side
        self.listing = listing
        self.prices: list[int] = []
        self.sizes: list[int] = []
        self.distance_bps = 0.0  # how far from the efficient price this side wants to stand

    @property
    def best(self) -> int | None:
        return self.prices[0] if self.prices else None

    def place(self, price: float) -> int:
        """The nearest price on the tick grid that is no more aggressive than `price`."""
        return self.listing.price_down(floor(price)) if self.side > 0 else self.listing.price_up(ceil(price))

    def better(self, price: float, than: float) -> bool:
        """Whether `price` is nearer to the other side than `than`."""
        return self.side * (price - than) > 0

    def put(self, price: int, qty: int) -> int:
        """The level at `price` now shows `qty`, and nothing more where that is 0; its place in the book."""
        place = 0
        while place < len(self.prices) and self.better(self.prices[place], price):
            place += 1
        held = place < len(self.prices) and self.prices[place] == price
        if not qty:
            if held:
                del self.prices[place], self.sizes[place]
        elif held:
            self.sizes[place] = qty
        else:
            self.prices.insert(place, price)
            self.sizes.insert(place, qty)
        return place
