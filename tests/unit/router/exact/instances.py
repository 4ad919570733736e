"""Random questions to the exact search, in which everything may bind: lots, minimums, caps, tickets, splits."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from bestex.instruments import FEE_ONE
from bestex.units import floor_to
from services.router.exact.offer import Offer, least_of

VENUES_MAX, LEVELS_MAX = 10, 50
LOTS = [(1,), (10,), (1, 10), (1, 10, 100), (1, 2, 5), (3, 7)]  # the last ones divide each other in no way


@dataclass(frozen=True)
class Instance:
    offers: list[Offer]
    qty: int
    splits_max: int


def draw(seed: int) -> Instance:
    rng = Random(seed)
    lots, deepest = rng.choice(LOTS), rng.randint(1, LEVELS_MAX)
    offers = [
        _offer(rng, f"v{number}", rng.choice(lots), deepest) for number in range(rng.randint(1, VENUES_MAX))
    ]
    there = sum(offer.most for offer in offers if offer.least <= offer.most)
    step = rng.choice([offer.lot for offer in offers])
    qty = max(floor_to(round(there * rng.random() ** 2), step), step)
    return Instance(offers, qty, rng.randint(1, len(offers)))


def _offer(rng: Random, venue: str, lot: int, deepest: int) -> Offer:
    price = 10_000 + rng.randint(0, 20)
    owns, sizes = [], []
    for _ in range(rng.randint(1, deepest)):
        owns.append(price)
        sizes.append(rng.randint(1, 300) * (lot if rng.random() < 0.7 else 1))
        price += rng.randint(1, 4)
    factor = FEE_ONE + rng.randint(-10_000, 100_000)
    depth = sum(sizes)
    cap = depth if rng.random() < 0.5 else rng.randint(depth // 2, depth)
    minimums = (
        rng.choice([1, 1, rng.randint(1, 400)]),
        rng.choice([0, 0, rng.randint(0, 3_000_000)]),
        rng.choice([0, 0, rng.randint(0, 2_000_000)]),
    )
    return Offer(
        venue=venue,
        nets=[own * factor for own in owns],
        owns=owns,
        sizes=sizes,
        lot=lot,
        least=least_of(owns, sizes, lot, *minimums),
        most=floor_to(cap, lot),
        ticket=rng.choice([0, 0, rng.randint(0, 2_000)]) * FEE_ONE,
    )
