"""Placements on lots: what goes up, what is left, and what may not be."""

from __future__ import annotations

import pytest

from services.router.models.cont_kukanov import Placement
from services.router.models.lots import LotPlacement, to_lots


def test_the_largest_remainder_gets_the_lot_and_the_market_order_wins_a_tie() -> None:
    split = to_lots(Placement(333.2, (333.1, 333.7)), 1_000, 1, [1, 1], overbook=False)
    assert split == LotPlacement(333, (333, 334))
    assert to_lots(Placement(250.5, (749.5,)), 1_000, 1, [1], overbook=False) == LotPlacement(251, (749,))


def test_a_coarse_lot_leaves_its_remainder_to_the_finer_ones() -> None:
    split = to_lots(Placement(340.0, (330.0, 330.0)), 1_000, 1, [300, 10], overbook=False)
    assert split == LotPlacement(370, (300, 330))


def test_what_no_lot_can_hold_is_left() -> None:
    split = to_lots(Placement(500.0, (550.0,)), 1_050, 100, [100], overbook=False)
    assert split.total == 1_000


def test_overbooked_parts_keep_their_sum_and_each_stays_below_the_slice() -> None:
    split = to_lots(Placement(164.4, (835.6, 835.6, 835.6)), 1_000, 1, [1, 1, 1], overbook=True)
    assert split.total >= 1_000
    assert split == LotPlacement(164, (836, 836, 835))  # 2,671.2 in all
    assert split.market + max(split.limits) == 1_000


def test_a_last_lot_may_pass_the_slice_only_where_overbooking_may() -> None:
    placement = Placement(400.0, (350.0, 300.0))
    assert to_lots(placement, 1_050, 300, [300, 300], overbook=False).total == 900
    assert to_lots(placement, 1_050, 300, [300, 300], overbook=True).total == 1_200


def test_an_overbooked_placement_is_refused_where_it_may_not_be() -> None:
    with pytest.raises(ValueError, match="overbooks"):
        to_lots(Placement(600.0, (400.0, 1.0)), 1_000, 1, [1, 1], overbook=False)


def test_parts_that_floats_left_just_below_a_lot_are_whole() -> None:
    split = to_lots(Placement(599.9999999999, (400.0000000001,)), 1_000, 100, [100], overbook=False)
    assert split == LotPlacement(600, (400,))
