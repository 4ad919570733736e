"""Stops, fixed and trailing: is the price reached that an order waits for, and where does a stop stand that follows?

A trailing stop is what the journal says of it, so it survives a restart exactly: it moves when it would move by at
least a hundredth of its distance, and not more often than four times a second. The market may be that much better for
that long without its being noticed.
"""

from __future__ import annotations

from decimal import Decimal

from bestex.clock import DAY, MS
from bestex.instruments import Instrument
from bestex.messages import Side, Trigger
from services.scheduler.market import Market

WAIT_NS = DAY  # how long a price is waited for where nothing else is said
STEP_SHARE = 100  # a stop moves by at least this part of its distance
STEP_NS = 250 * MS
_PERCENT = 100


def problem(trigger: Trigger, latest_ns: int) -> str:
    """What is wrong with it, as a sentence; empty where nothing is. `latest_ns`: the latest `until`."""
    for name in ("price", "trail", "trail_percent"):
        value: Decimal | None = getattr(trigger, name)
        if value is not None and not (value.is_finite() and value > 0):
            return f"trigger.{name} must be above zero"
    if trigger.trail is not None and trigger.trail_percent is not None:
        return "trigger.trail and trigger.trail_percent say the same; give one"
    if trigger.trail_percent is not None and trigger.trail_percent >= _PERCENT:
        return "trigger.trail_percent must be below 100"
    if trigger.price is None and not _trails(trigger):
        return "trigger needs a price, a trail or a trail_percent"
    if trigger.until is not None and trigger.until > latest_ns:
        return "trigger.until is later than the bus keeps orders (bus.max_age)"
    return ""


def waits_until(trigger: Trigger, now_ns: int) -> int:
    return now_ns + WAIT_NS if trigger.until is None else int(trigger.until)


def is_above(trigger: Trigger, side: Side) -> bool:
    """Whether it is reached from below: at its price or above."""
    return trigger.when == "above" if trigger.when else side is Side.BUY


def seen(trigger: Trigger, market: Market) -> int | None:
    """Twice the price that is looked at, in price units; None where there is none."""
    if trigger.by == "mid":
        return market.mid_half
    price = market.best(Side.BUY if trigger.by == "bid" else Side.SELL)
    return None if price is None else 2 * price


def first_stop(trigger: Trigger, instrument: Instrument) -> int | None:
    """Where the stop stands before the market is seen, in price units."""
    return None if trigger.price is None else instrument.price_units(trigger.price)


def reached(trigger: Trigger, side: Side, stop: int | None, twice: int | None) -> bool:
    if stop is None or twice is None:
        return False
    return twice >= 2 * stop if is_above(trigger, side) else twice <= 2 * stop


def followed(
    trigger: Trigger, side: Side, stop: int | None, twice: int | None, instrument: Instrument
) -> int | None:
    """Where the stop stands now that the market is there, if that is worth storing: it never goes back."""
    if twice is None or not _trails(trigger):
        return None
    distance = _distance(trigger, twice, instrument)
    if is_above(trigger, side):
        new = -(-(twice + 2 * distance) // 2)
        return new if stop is None or stop - new >= max(distance // STEP_SHARE, 1) else None
    new = max((twice - 2 * distance) // 2, 1)
    return new if stop is None or new - stop >= max(distance // STEP_SHARE, 1) else None


def _trails(trigger: Trigger) -> bool:
    return trigger.trail is not None or trigger.trail_percent is not None


def _distance(trigger: Trigger, twice: int, instrument: Instrument) -> int:
    """In whole price units, at least one."""
    if trigger.trail is not None:
        return max(int(trigger.trail.scaleb(instrument.price_scale)), 1)
    assert trigger.trail_percent is not None, "a stop that trails has a distance"
    return max(int(twice * trigger.trail_percent / (2 * _PERCENT)), 1)


def told(trigger: Trigger, side: Side, stop: int, twice: int, instrument: Instrument) -> str:
    """In words: the price that was seen against the stop."""
    way = "at or above" if is_above(trigger, side) else "at or below"
    return f"the {trigger.by} {instrument.price(twice) / 2} is {way} {instrument.price(stop)}"
