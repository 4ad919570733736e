"""The published exercise done slowly and literally: every snapshot a dictionary, every split looked at."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from bestex.clock import MINUTE


class Venue(NamedTuple):
    ask: int
    size: int
    fee: int
    rebate: int


class Fill(NamedTuple):
    """At which snapshot and venue (its place there), how much, for how much cash."""

    snapshot: int
    venue: int
    qty: int
    cash: int


class Quote(NamedTuple):
    at_ns: int
    publisher: int
    venue: Venue


def snapshots(rows: list[Quote]) -> list[tuple[int, list[tuple[int, Venue]]]]:
    """Time, and the latest row of each publisher then, publishers in order."""
    found: dict[int, dict[int, Venue]] = {}
    for row in sorted(rows, key=lambda row: row.at_ns):
        found.setdefault(row.at_ns, {})[row.publisher] = row.venue
    return [(at_ns, sorted(of.items())) for at_ns, of in found.items()]


def splits(qty: int, venues: list[Venue], lot: int) -> Iterator[tuple[int, ...]]:
    """All splits in enumeration order: the first venue's share ascending, then the second's, and so on."""
    if not venues:
        yield ()
        return
    for first in range(0, min(qty, venues[0].size) + 1, lot):
        for others in splits(qty - first, venues[1:], lot):
            yield first, *others


def cost(
    split: tuple[int, ...], venues: list[Venue], qty: int, over: Fraction, under: Fraction, theta: Fraction
) -> Fraction:
    executed = cash = 0
    for share, venue in zip(split, venues, strict=True):
        done = min(share, venue.size)
        executed += done
        cash += done * (venue.ask + venue.fee) - max(share - done, 0) * venue.rebate
    missing, much = max(qty - executed, 0), max(executed - qty, 0)
    return cash + theta * (missing + much) + under * missing + over * much


def router(
    rows: list[Quote], qty: int, lot: int, over: Fraction, under: Fraction, theta: Fraction
) -> list[Fill]:
    fills: list[Fill] = []
    left = qty
    for number, (_, shown) in enumerate(snapshots(rows)):
        if left <= 0:
            break
        venues = [venue for _, venue in shown]
        best: tuple[int, ...] | None = None
        best_cost = Fraction(0)
        for split in splits(left, venues, lot):
            if sum(split) != left:
                continue
            found = cost(split, venues, left, over, under, theta)
            if best is None or found < best_cost:
                best, best_cost = split, found
        for share, (name, venue) in zip(best or (), shown, strict=bool(best)):
            if share:
                fills.append(Fill(number, name, share, share * (venue.ask + venue.fee)))
                left -= share
    return fills


def best_ask(rows: list[Quote], qty: int, due: list[int] | None = None) -> list[Fill]:
    """`due`: how much may be filled until each snapshot; all of it where left out."""
    fills: list[Fill] = []
    done = 0
    for number, (_, shown) in enumerate(snapshots(rows)):
        lowest = min((venue.ask for _, venue in shown if venue.size), default=None)
        name, venue = next((one for one in shown if one[1].ask == lowest and one[1].size), shown[0])
        share = min(venue.size, (qty if due is None else due[number]) - done)
        if share > 0:
            fills.append(Fill(number, name, share, share * (venue.ask + venue.fee)))
            done += share
    return fills


def twap(rows: list[Quote], qty: int) -> list[Fill]:
    times = [at_ns for at_ns, _ in snapshots(rows)]
    buckets = (times[-1] - times[0]) // MINUTE + 1
    parts = [qty // buckets + (bucket < qty % buckets) for bucket in range(buckets)]
    due = [sum(parts[: (at_ns - times[0]) // MINUTE + 1]) for at_ns in times]
    return best_ask(rows, qty, due)


def sweep(rows: list[Quote], qty: int) -> list[Fill]:
    fills: list[Fill] = []
    for number, (_, shown) in enumerate(snapshots(rows)):
        for name, venue in sorted(shown, key=lambda one: one[1].ask + one[1].fee):
            share = min(venue.size, qty)
            if share:
                fills.append(Fill(number, name, share, share * (venue.ask + venue.fee)))
                qty -= share
    return fills


def vwap(rows: list[Quote], qty: int) -> list[Fill]:
    fills: list[Fill] = []
    for number, (_, shown) in enumerate(snapshots(rows)):
        total = sum(venue.size for _, venue in shown)
        if not total or not qty:
            continue
        shares = {name: min(qty * venue.size // total, venue.size) for name, venue in shown}
        left = qty - sum(shares.values())
        for name, venue in sorted(shown, key=lambda one: one[1].ask + one[1].fee):
            more = min(left, venue.size - shares[name])
            shares[name] += more
            left -= more
        for name, venue in shown:
            if shares[name]:
                fills.append(Fill(number, name, shares[name], shares[name] * (venue.ask + venue.fee)))
        qty = left
    return fills
