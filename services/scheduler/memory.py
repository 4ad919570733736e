"""What a scheduler remembers of what is over, and for how long."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

IDS_MAX = 1_000_000  # ids of ended parents; 100 bytes each, weeks of trading
ENDED_MAX = 100_000  # ended parents whose last request may be redelivered; far more than in flight
REFUSALS_MAX = 10_000  # far more than can be redelivered


def remember(table: OrderedDict[Any, Any], key: Any, value: Any, most: int) -> None:
    """Note it, and forget the oldest beyond `most`."""
    table[key] = value
    if len(table) > most:
        table.popitem(last=False)
