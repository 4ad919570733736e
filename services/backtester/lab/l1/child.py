"""One child order worked through the grid: what it takes, what it rests, what that costs.

No phantom liquidity: what we took of a venue's ask at one price is gone until the feed shows that it is new. At the
same price only a larger size shows new size; of a smaller one no more than all can be what we took. An ask that is
dearer shows that the whole level went, and what comes at the old price afterwards is new.

All routers work the same child under the same rules: they decide at the same times on the same quotes, and what is
left at the horizon is swept, dearest venue included, and swept again for a few steps if too little is displayed. What
they have too much at the horizon is sold back to the bids.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from services.backtester.lab.l1.grid import NO_ROW, Grid
from services.backtester.lab.l1.quotes import NEVER

FORCED_STEPS = 6  # after the horizon in which a rest may still be swept: as long again, by default

Decide = Callable[["Child", int], None]


class Taken:
    """What we took and the feed has not shown to be replaced, by venue and price."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._of: list[dict[int, int]] = [{} for _ in grid.venues]
        self._seen = [NO_ROW] * len(grid.venues)

    def take(self, place: int, row: int, price: int, qty: int) -> None:
        self.look(place, row)
        self._of[place][price] = self._of[place].get(price, 0) + qty

    def look(self, place: int, row: int) -> dict[int, int]:
        """What is still taken at the venue's `row`, which never goes back."""
        taken, seen = self._of[place], self._seen[place]
        self._seen[place] = row
        if taken and row > seen:
            venue = self._grid.venues[place]
            asks, sizes = venue.ask[seen + 1 : row + 1], venue.ask_size[seen + 1 : row + 1]
            for price, qty in list(taken.items()):
                if (asks > price).any():
                    del taken[price]
                    continue
                shown = sizes[asks == price]
                if len(shown) and shown.min() < qty:
                    taken[price] = int(shown.min())
        return taken


@dataclass
class Rest:
    """An order that joined the queue of the venue at `place` at grid time `joined`."""

    place: int
    joined: int
    price: int
    qty: int
    got: int = 0

    @property
    def left(self) -> int:
        return self.qty - self.got


@dataclass(frozen=True)
class Fill:
    """`cash` is price units times quantity units, with fees, less rebates; both negative for what is sold back."""

    at: int
    place: int
    qty: int
    cash: int
    rested: bool = False


@dataclass
class Child:
    """`qty` from grid time `first` to `end`. Deciders call `take` and `rest`."""

    grid: Grid
    taken: Taken
    first: int
    end: int
    qty: int
    filled: int = 0
    cash: int = 0
    unfilled: int = 0
    over: int = 0
    forced: int = 0
    resting: list[Rest] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)

    @property
    def open(self) -> int:
        """What is neither filled nor resting; negative where more was placed than there is to fill."""
        return self.qty - self.filled - sum(rest.left for rest in self.resting)

    def asks(self, at: int) -> list[tuple[int, int, int]]:
        """What may be taken at `at`: price with fee, venue, size; cheapest first, the first venue on a tie."""
        grid, found = self.grid, []
        for place, (price, size, fee, row) in enumerate(
            zip(
                grid.ask[at].tolist(),
                grid.ask_size[at].tolist(),
                grid.fee[at].tolist(),
                grid.row[at].tolist(),
                strict=True,
            )
        ):
            if price == NEVER:
                continue
            left = size - self.taken.look(place, row).get(price, 0)
            if left > 0:
                found.append((price + fee, place, left))
        found.sort()
        return found

    def take(self, at: int, place: int, qty: int) -> None:
        """At the displayed price, at once."""
        grid = self.grid
        price = int(grid.ask[at, place])
        self.taken.take(place, int(grid.row[at, place]), price, qty)
        self._fill(Fill(at, place, qty, qty * (price + int(grid.fee[at, place]))))

    def rest(self, at: int, place: int, qty: int) -> None:
        """At the venue's best bid, behind all that is displayed."""
        self.resting.append(Rest(place, at, int(self.grid.bid[at, place]), qty))

    def work(self, decide: Decide) -> None:
        """From the first decision to the end, with what is forced then."""
        for at in range(self.first, self.end):
            self._collect(at)
            if self.filled >= self.qty:
                self.resting.clear()
            # What was overtaken by a better bid is no longer where fills come first.
            self.resting = [rest for rest in self.resting if self.grid.bid[at, rest.place] <= rest.price]
            if self.open > 0:
                decide(self, at)
        self._collect(self.end)
        self.resting.clear()
        self._sell_back(self.end)
        for at in range(self.end, min(self.end + FORCED_STEPS, self.grid.last) + 1):
            before = self.filled
            sweep(self, at)
            self.forced += self.filled - before
            if self.filled >= self.qty:
                break
        self.unfilled = self.qty - self.filled

    def _collect(self, at: int) -> None:
        """What resting orders have filled until `at`, at their prices less the rebate."""
        grid = self.grid
        for rest in self.resting:
            passed = float(grid.passed[rest.joined, rest.place, at - rest.joined - 1])
            got = rest.qty if passed >= rest.qty else int(passed)
            if got > rest.got:
                qty, rest.got = got - rest.got, got
                price = rest.price - int(grid.rebate[rest.joined, rest.place])
                self._fill(Fill(at, rest.place, qty, qty * price, rested=True))

    def _sell_back(self, at: int) -> None:
        """What is too much goes to the best bids less the fee; what they do not hold, at the worst of them."""
        self.over = over = max(self.filled - self.qty, 0)
        grid = self.grid
        bids = sorted(
            (int(price - fee), place, int(size))
            for place, (price, size, fee) in enumerate(
                zip(grid.bid[at], grid.bid_size[at], grid.fee[at], strict=True)
            )
            if price > -NEVER
        )
        while over > 0 and bids:
            price, place, size = bids.pop()
            qty = min(over, size) if bids else over
            over -= qty
            self._fill(Fill(at, place, -qty, -qty * price))

    def _fill(self, fill: Fill) -> None:
        self.fills.append(fill)
        self.filled += fill.qty
        self.cash += fill.cash


# -- the baselines, each the rule by which the next part is taken ------------------------------------------


def best_ask(child: Child, at: int, qty: int | None = None) -> None:
    """Up to what is displayed at the lowest ask; the fee is not looked at."""
    asks = child.asks(at)
    if asks:
        ask = child.grid.ask[at]
        _, place, size = min(asks, key=lambda one: (int(ask[one[1]]), one[1]))
        qty = child.open if qty is None else qty
        if qty > 0:
            child.take(at, place, min(qty, size))


def sweep(child: Child, at: int) -> None:
    """All venues, by ask plus fee."""
    for _, place, size in child.asks(at):
        if child.open <= 0:
            break
        child.take(at, place, min(child.open, size))


def vwap(child: Child, at: int) -> None:
    """By displayed size; what rounding leaves goes to the cheapest with room."""
    asks, rest = child.asks(at), child.open
    total = sum(size for _, _, size in asks)
    shares = [min(rest * size // total, size) for _, _, size in asks]
    left = rest - sum(shares)
    for number, (_, place, size) in enumerate(asks):
        more = min(left, size - shares[number])
        left -= more
        if shares[number] + more:
            child.take(at, place, shares[number] + more)


def twap(child: Child, at: int) -> None:
    """An even part at each decision, executed as Best Ask; what one leaves is the next one's."""
    begun, all_steps = at - child.first + 1, child.end - child.first
    best_ask(child, at, child.qty * begun // all_steps - child.filled)


BASELINES: dict[str, Decide] = {"best_ask": best_ask, "twap": twap, "vwap": vwap, "sweep": sweep}
