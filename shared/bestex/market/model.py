"""A small microstructure model: several venues that quote one efficient price, driven by events.

- The efficient price is a martingale that jumps at the times of a Poisson process (news), by Laplace amounts.
- Makers quote a half spread around it and round outwards to the tick (Glosten and Milgrom 1985, with a grid).
  News that takes the efficient price beyond a quote draws informed orders, which take what is stale on the
  venues that they reach, before makers reprice after a delay (Copeland and Galai 1983; Budish, Cramton and
  Shim 2015). So trades move the mid by about the half spread and for good (Hasbrouck 1991; Madhavan,
  Richardson and Roomans 1997), and posting earns little. Uninformed orders and hidden mid-point orders arrive
  besides.
- Each venue stands at its own distance, drawn afresh now and then and followed with a delay of its own; hence
  different shares of time at the best price, and venues that lead and lag.
- Orders from outside the model may move the price too (`OwnImpact`, off by default): makers follow, and come back.
- Size changes excite further ones: a Hawkes process in its cluster form (Hawkes and Oakes 1974). Sizes are
  lognormal.

Everything random comes from one seeded generator that is drawn from in the order of events, so that the same
seed gives the same events however the time is cut.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from typing import Any

from bestex.background import ASK, BID, BackgroundEvent, BackgroundTrade, LevelSet
from bestex.clock import MINUTE, MS, SECOND, US
from bestex.errors import UsageError
from bestex.ids import base36, digest
from bestex.impact.settings import OwnImpact
from bestex.instruments import Instrument, Listing
from bestex.market.presets import Preset, VenueProfile, preset_named
from bestex.market.pushed import Pushed
from bestex.market.quotes import Quotes

MIN_TICKS = 200  # a start price below this many ticks leaves no room for a book under it
MAX_DELAY_MS = 10_000  # a maker that sleeps longer than this is none
TAKER_SPREAD_NS = 300 * US  # mean time in which one informed order reaches a venue
CAPPED_RETRY_NS = 100 * MS  # mean time after which a quote that another venue was in the way of tries again
TOP_BIAS = 0.35  # a size change hits the best level with this probability, else the next, and so on
FRENZY_NS = 300 * MS  # mean time to the size changes that news causes
MAX_FRENZY = 1_200  # size changes after one piece of news: the busiest second of the real day had 1,300
RELAX_NS = SECOND // 2  # how often makers follow a price that comes back after our own orders
MAX_PRINTS = 50  # one order makes no more trades on one venue than this

Action = Callable[..., None]


class _Venue:
    def __init__(self, listing: Listing, profile: VenueProfile) -> None:
        self.name = listing.venue
        self.listing = listing
        self.profile = profile
        self.sides = {side: Quotes(side, listing) for side in (BID, ASK)}


class MarketModel:
    """Background events of one instrument on its lit listings, from `start_ns` on.

    The first events, at `start_ns`, are the opening books. A trade is followed by the `LevelSet` of the level
    that it took; a trade of hidden orders at the mid, which may lie between two ticks, has aggressor 0 and takes
    nothing displayed. `changed`: the preset with other figures; what is random stays that of the preset's name.
    UsageError for an unknown preset, no lit listing, an inverse contract, or a start price under 200 ticks.
    """

    def __init__(
        self,
        instrument: Instrument,
        preset: str,
        seed: int,
        start_price_units: int,
        start_ns: int,
        own_impact: OwnImpact | None = None,
        changed: Preset | None = None,
    ) -> None:
        self._preset: Preset = preset_named(preset) if changed is None else changed
        lit = [listing for listing in instrument.listings if listing.kind != "dark"]
        if not lit or any(listing.inverse for listing in lit):
            raise UsageError(f"{instrument.symbol}: a market model needs lit venues and no inverse contracts")
        if start_price_units < MIN_TICKS * max(listing.tick_at(start_price_units) for listing in lit):
            raise UsageError(f"{instrument.symbol}: the start price is under {MIN_TICKS} ticks")
        profiles = self._preset.venues
        self._venues = [_Venue(lit[i], profiles[i % len(profiles)]) for i in range(len(lit))]
        self._busiest = max(venue.profile.resizes for venue in self._venues)
        self._rng = random.Random(digest("market", instrument.symbol, preset, seed))
        self._efficient = float(start_price_units)
        self._notional_units = self._preset.best_notional * 10.0 ** (
            instrument.price_scale + instrument.qty_scale
        )
        own = own_impact or OwnImpact()
        self._pushed = Pushed(own, self._notional_units) if own.move_bps else None
        self._relaxing = False
        self._trade_prefix = base36(digest("trade", instrument.symbol, preset, seed, start_ns), 6)
        self._trades = 0
        self._now_ns = start_ns - start_ns % US
        self._due: list[tuple[int, int, Action, tuple[Any, ...]]] = []
        self._scheduled = 0
        self._out: list[BackgroundEvent] = []
        self._after(0, self._open)

    @property
    def due_ns(self) -> int:
        """Before this nothing happens, unless it hears of something."""
        return self._due[0][0]

    def step_until(self, now_ns: int) -> list[BackgroundEvent]:
        """The events since the last call, up to and including `now_ns`, in time order."""
        due = self._due
        while due[0][0] <= now_ns:
            self._now_ns, _, action, arguments = heappop(due)
            action(*arguments)
        out, self._out = self._out, []
        return out

    def hear(self, at_ns: int, side: int, notional_units: int) -> None:
        """One of our own orders took this much: `side` +1 bought, -1 sold. In time order, and not before what
        `step_until` was last asked for. Without own impact nothing follows."""
        if self._pushed is None:
            return
        self._now_ns = max(self._now_ns, at_ns - at_ns % US)
        self._pushed.push(self._now_ns, side * notional_units)
        self._follow()
        if not self._relaxing:
            self._relaxing = True
            self._after(RELAX_NS, self._relax)

    # -- time --------------------------------------------------------------------------------------

    def _after(self, delay_ns: int, action: Action, *arguments: Any) -> None:
        at_ns = self._now_ns + delay_ns - delay_ns % US
        self._scheduled += 1
        heappush(self._due, (at_ns, self._scheduled, action, arguments))

    def _exponential_ns(self, mean_ns: float) -> int:
        return US + int(self._rng.expovariate(1 / mean_ns))

    def _poisson(self, rate: float, action: Action, *arguments: Any) -> None:
        """Call `action` at `rate` a second, for ever; never where the rate is 0."""
        if rate > 0:
            self._after(self._exponential_ns(SECOND / rate), self._tick, rate, action, arguments)

    def _tick(self, rate: float, action: Action, arguments: tuple[Any, ...]) -> None:
        action(*arguments)
        self._poisson(rate, action, *arguments)

    def _open(self) -> None:
        for venue in self._venues:
            for quotes in venue.sides.values():
                self._requote(venue, quotes)
        self._poisson(self._preset.news, self._news)
        for venue in self._venues:
            profile = venue.profile
            calm = 1 - self._preset.excitation  # a cluster has 1 / calm changes on average
            self._poisson(profile.resizes * calm, self._resize, venue)
            for quotes in venue.sides.values():
                self._poisson(profile.requotes, self._requote, venue, quotes)
            self._poisson(profile.noise * SECOND / MINUTE, self._noise_order, venue)
            self._poisson(profile.mid * SECOND / MINUTE, self._mid_trade, venue)

    # -- what happens ------------------------------------------------------------------------------

    def _news(self) -> None:
        """The efficient price jumps; informed orders take what has become stale, makers follow."""
        rng = self._rng
        mean = self._preset.news_bps / math.sqrt(2)  # a Laplace variable's rms is sqrt 2 x its mean size
        jump_bps = rng.expovariate(1 / mean) * (1 if rng.random() < 0.5 else -1)
        self._efficient *= 1 + jump_bps / 1e4
        price = self._price
        stale_side = ASK if jump_bps > 0 else BID
        for venue in self._venues:
            profile, stale = venue.profile, venue.sides[stale_side]
            limit = price * (1 - stale_side * profile.eager_bps / 1e4)
            best = stale.best
            if best is not None and stale.better(best, limit) and rng.random() < profile.reach:
                self._after(self._exponential_ns(TAKER_SPREAD_NS), self._take, venue, stale, limit)
            self._follow_on(venue)
            share = profile.resizes / self._busiest
            frenzy = self._preset.frenzy * share * (jump_bps / self._preset.news_bps) ** 4
            for _ in range(min(int(frenzy + rng.random()), MAX_FRENZY)):
                self._after(self._exponential_ns(FRENZY_NS), self._change_size, venue)

    @property
    def _price(self) -> float:
        """The efficient price, and what our own orders did to it."""
        if self._pushed is None:
            return self._efficient
        return self._efficient * (1 + self._pushed.bps(self._now_ns) / 1e4)

    def _follow(self) -> None:
        """Makers everywhere follow the price, each after its own delay."""
        for venue in self._venues:
            self._follow_on(venue)

    def _follow_on(self, venue: _Venue) -> None:
        profile = venue.profile
        for quotes in venue.sides.values():
            delay_ms = profile.delay_ms * self._rng.lognormvariate(0, profile.delay_sigma)
            self._after(int(min(delay_ms, MAX_DELAY_MS) * MS), self._reprice, venue, quotes)

    def _relax(self) -> None:
        """What decays of our own impact comes back, as long as there is any."""
        assert self._pushed is not None, "something was pushed"
        self._follow()
        self._relaxing = self._pushed.is_passing(self._now_ns)
        if self._relaxing:
            self._after(RELAX_NS, self._relax)

    def _take(self, venue: _Venue, quotes: Quotes, limit: float) -> None:
        """One informed order on one venue: some trades, at prices better than `limit`."""
        for _ in range(self._geometric(venue.profile.prints)):
            best = quotes.best
            if best is None or not quotes.better(best, limit):
                return
            self._trade(venue, quotes)
        self._excite(venue)

    def _noise_order(self, venue: _Venue) -> None:
        """An uninformed order, sent here only if no other venue shows a better price."""
        quotes = venue.sides[BID if self._rng.random() < 0.5 else ASK]
        best, elsewhere = quotes.best, self._best_elsewhere(venue, quotes.side)
        if best is None or (elsewhere is not None and quotes.better(elsewhere, best)):
            return
        self._trade(venue, quotes)
        self._after(self._exponential_ns(venue.profile.delay_ms * MS), self._reprice, venue, quotes)

    def _mid_trade(self, venue: _Venue) -> None:
        """Hidden orders meet at the consolidated mid, where that is a price at all."""
        bid, ask = self._best(BID), self._best(ASK)
        if bid is not None and ask is not None and bid < ask and (bid + ask) % 2 == 0:
            mid = (bid + ask) // 2
            self._print(venue, mid, self._trade_size(venue, mid), 0)

    def _resize(self, venue: _Venue) -> None:
        """A size change that excites others."""
        self._change_size(venue)
        self._excite(venue)

    def _change_size(self, venue: _Venue) -> None:
        quotes = venue.sides[BID if self._rng.random() < 0.5 else ASK]
        place = min(self._geometric(1 / TOP_BIAS), len(quotes.prices)) - 1
        if place >= 0:
            price = quotes.prices[place]
            self._put(venue, quotes, price, self._level_size(venue, place, price))

    def _excite(self, venue: _Venue) -> None:
        """Further size changes, as many as a geometric variable from 0 with the preset's mean."""
        preset = self._preset
        for _ in range(self._geometric(1 + preset.excitation) - 1):
            self._after(self._exponential_ns(preset.excitation_ms * MS), self._resize, venue)

    def _requote(self, venue: _Venue, quotes: Quotes) -> None:
        """Draw this side's distance from the efficient price afresh."""
        rng, profile = self._rng, venue.profile
        distance = profile.half_spread_bps + rng.gauss(0, profile.jitter_bps)
        if rng.random() >= profile.near:
            distance += rng.expovariate(1 / profile.away_bps)
        quotes.distance_bps = max(distance, 0.0)
        self._reprice(venue, quotes)

    def _reprice(self, venue: _Venue, quotes: Quotes) -> None:
        """Bring the best price to where this side wants to stand, as far as other quotes let it."""
        target = quotes.place(self._price * (1 - quotes.side * quotes.distance_bps / 1e4))
        allowed = self._behind_others(venue, quotes, target)
        if allowed != target:
            self._after(self._exponential_ns(CAPPED_RETRY_NS), self._reprice, venue, quotes)
        self._move_best(venue, quotes, allowed)

    def _behind_others(self, venue: _Venue, quotes: Quotes, target: int) -> int:
        """`target`, or the next price behind that crosses no venue and does not lock its own."""
        side = quotes.side
        own = venue.sides[-side].best
        if own is not None and not quotes.better(own, target):
            target = quotes.place(own - side)
        others = self._best_elsewhere(venue, -side)
        if others is not None and not quotes.better(others, target):
            lock = venue.listing.on_grid(others) and self._rng.random() < self._preset.lock
            behind = others if lock else quotes.place(others - side)
            target = target if quotes.better(behind, target) else behind
        return target

    def _move_best(self, venue: _Venue, quotes: Quotes, target: int) -> None:
        """Make `target` the best price; the book keeps its number of levels and its gaps."""
        while quotes.prices and quotes.better(quotes.prices[0], target):
            self._put(venue, quotes, quotes.prices[0], 0)
        most = self._preset.levels + self._preset.levels // 2
        old_best, price = quotes.best, target
        for place in range(most):
            if old_best is not None and not quotes.better(price, old_best):
                break
            self._put(venue, quotes, price, self._level_size(venue, place, price))
            price = self._behind(venue, quotes, price)
        while len(quotes.prices) > most:
            self._put(venue, quotes, quotes.prices[-1], 0)
        self._fill_up(venue, quotes)

    def _fill_up(self, venue: _Venue, quotes: Quotes) -> None:
        """New levels at the far end, up to the preset's number."""
        while len(quotes.prices) < self._preset.levels:
            price = self._behind(venue, quotes, quotes.prices[-1])
            self._put(venue, quotes, price, self._level_size(venue, len(quotes.prices), price))

    # -- prices and sizes --------------------------------------------------------------------------

    def _best(self, side: int, except_for: _Venue | None = None) -> int | None:
        bests = [
            venue.sides[side].prices[0]
            for venue in self._venues
            if venue is not except_for and venue.sides[side].prices
        ]
        return (max(bests) if side == BID else min(bests)) if bests else None

    def _best_elsewhere(self, venue: _Venue, side: int) -> int | None:
        return self._best(side, except_for=venue)

    def _behind(self, venue: _Venue, quotes: Quotes, price: int) -> int:
        """The next level behind the one at `price`, a tick away or more."""
        tick = venue.listing.tick_at(price)
        wanted = self._rng.expovariate(1 / self._preset.gap_bps) * self._efficient / 1e4
        return quotes.place(price - quotes.side * max(1, round(wanted / tick)) * tick)

    def _geometric(self, mean: float) -> int:
        """1, 2, 3, ... with mean `mean`, at most MAX_PRINTS."""
        if mean <= 1:
            return 1
        return min(1 + int(math.log(1 - self._rng.random()) / math.log(1 - 1 / mean)), MAX_PRINTS)

    def _minimum(self, venue: _Venue, price: int) -> int:
        listing = venue.listing
        least = max(listing.min_qty, -(-listing.min_notional // price), 1)
        return -(-least // listing.lot) * listing.lot

    def _size(self, venue: _Venue, price: int, relative: float, sigma: float) -> int:
        median = self._notional_units * relative / price
        lots = round(median * self._rng.lognormvariate(0, sigma) / venue.listing.lot)
        return max(lots * venue.listing.lot, self._minimum(venue, price))

    def _level_size(self, venue: _Venue, place: int, price: int) -> int:
        profile = venue.profile
        relative = profile.size * (profile.depth if place else 1)
        return self._size(venue, price, relative, profile.size_sigma)

    def _trade_size(self, venue: _Venue, price: int) -> int:
        return self._size(venue, price, venue.profile.trade_size, venue.profile.trade_sigma)

    def _trade(self, venue: _Venue, quotes: Quotes) -> None:
        """Somebody takes from the best level; a rest below the venue's minimum goes with it."""
        price, shown = quotes.prices[0], quotes.sizes[0]
        qty = min(self._trade_size(venue, price), shown)
        if shown - qty < self._minimum(venue, price):
            qty = shown
        self._print(venue, price, qty, -quotes.side)
        self._put(venue, quotes, price, shown - qty)
        self._fill_up(venue, quotes)

    # -- what is told ------------------------------------------------------------------------------

    def _print(self, venue: _Venue, price: int, qty: int, aggressor: int) -> None:
        self._trades += 1
        trade_id = f"{self._trade_prefix}{self._trades}"
        self._out.append(BackgroundTrade(self._now_ns, venue.name, price, qty, aggressor, trade_id))

    def _put(self, venue: _Venue, quotes: Quotes, price: int, qty: int) -> None:
        quotes.put(price, qty)
        self._out.append(LevelSet(self._now_ns, venue.name, quotes.side, price, qty))


def simulate(
    instrument: Instrument,
    preset: str,
    seed: int,
    seconds: float,
    start_price_units: int,
    start_ns: int = 0,
    changed: Preset | None = None,
) -> Iterator[BackgroundEvent]:
    """The events of `seconds` of a market, in time order, made as they are asked for."""
    model = MarketModel(instrument, preset, seed, start_price_units, start_ns, changed=changed)
    end_ns = start_ns + int(seconds * SECOND)
    for now_ns in range(start_ns, end_ns, SECOND):
        yield from model.step_until(now_ns)
    yield from model.step_until(end_ns)
