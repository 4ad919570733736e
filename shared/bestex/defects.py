"""What a venue's book cannot be. Whoever takes books from outside asks before it uses one."""

from __future__ import annotations

from enum import StrEnum
from operator import gt, lt


class Defect(StrEnum):
    """Why a book was refused."""

    EMPTY = "empty"
    RAGGED = "ragged"  # a price without a quantity, or the reverse
    CROSSED = "crossed"  # its own best bid reaches its own best ask
    UNSORTED = "unsorted"  # or a price that stands there twice
    NOT_POSITIVE = "not_positive"
    OFF_SCALE = "off_scale"  # finer than the instrument's scales: a mistake in the configuration
    TOO_LARGE = "too_large"
    FUTURE = "future"  # received later than clocks may differ: nobody could tell when it has become old


def defect_of(bid_px: list[int], bid_qty: list[int], ask_px: list[int], ask_qty: list[int]) -> Defect | None:
    """What is wrong with the levels of one venue, best first; None where nothing is. One side may be empty."""
    if len(bid_px) != len(bid_qty) or len(ask_px) != len(ask_qty):
        return Defect.RAGGED
    if not bid_px and not ask_px:
        return Defect.EMPTY
    if bid_px and ask_px and bid_px[0] >= ask_px[0]:
        return Defect.CROSSED
    if not (all(map(gt, bid_px, bid_px[1:])) and all(map(lt, ask_px, ask_px[1:]))):
        return Defect.UNSORTED
    if (bid_px and (bid_px[-1] <= 0 or min(bid_qty) <= 0)) or (
        ask_px and (ask_px[0] <= 0 or min(ask_qty) <= 0)
    ):
        return Defect.NOT_POSITIVE
    return None
