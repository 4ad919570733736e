"""Scopes as people write them, and what the newest word of each covers."""

from __future__ import annotations

import pytest

from bestex.errors import UsageError
from bestex.halts import Halts, wire_scope

CHILD = ("sim_a", "main", "twap", "p1")


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("global", "global"),
        ("venue:sim_a", "venue-sim_a"),
        ("venue-sim_a", "venue-sim_a"),
        ("account:a.b", "account-a-b"),
        ("algo:twap", "algo-twap"),
        ("parent:my-1", "parent-my-1"),
    ],
)
def test_a_scope_is_taken_in_either_form(text: str, wire: str) -> None:
    assert wire_scope(text) == wire


@pytest.mark.parametrize(
    "text", ["", "all", "venue", "venue:", "venue-", "venues:sim_a", "Global", "global "]
)
def test_what_is_no_scope_is_refused_with_all_that_are(text: str) -> None:
    with pytest.raises(UsageError, match="write global, venue:NAME, account:NAME, algo:NAME or parent:ID"):
        wire_scope(text)


@pytest.mark.parametrize("scope", ["global", "venue-sim_a", "account-main", "algo-twap", "parent-p1"])
def test_a_scope_covers_what_it_names_and_nothing_else(scope: str) -> None:
    halts = Halts()
    halts.hear(scope, 1, True)
    assert halts.covers(*CHILD) == scope
    assert halts.covers("sim_b", "other", "vwap", "p2") == ("global" if scope == "global" else "")
    halts.hear(scope, 2, False)
    assert halts.covers(*CHILD) == ""


def test_an_older_word_changes_nothing() -> None:
    halts = Halts()
    halts.hear("global", 2, True)
    halts.hear("global", 1, False)
    assert halts.covers(*CHILD) == "global"
    assert halts.said("global") == (2, True)


def test_an_order_is_halted_where_every_venue_of_it_is() -> None:
    halts = Halts()
    halts.hear("venue-sim_a", 1, True)
    assert halts.covers_all(["sim_a"], "main", "twap", "p1") == "venue-sim_a"
    assert halts.covers_all(["sim_a", "sim_b"], "main", "twap", "p1") == ""
    halts.hear("venue-sim_b", 1, True)
    assert halts.covers_all(["sim_a", "sim_b"], "main", "twap", "p1") == "venue-sim_a, venue-sim_b"


def test_the_newest_release_of_any_scope_counts() -> None:
    halts = Halts()
    assert halts.released_ns(*CHILD) == 0
    halts.hear("venue-sim_a", 3, False)
    halts.hear("algo-vwap", 9, False)
    halts.hear("global", 7, True)
    assert halts.released_ns(*CHILD) == 3
