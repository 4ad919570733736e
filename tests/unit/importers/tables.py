"""Small tables of quotes, as publishers write them."""

from __future__ import annotations

from pathlib import Path

LEVEL_ONE = """\
ts_event,publisher_id,ask_px_00,ask_sz_00
2024-08-01T13:36:32.491911683Z,2,222.8300,100
2024-08-01T13:36:32.491911700Z,39,222.8,40
2024-08-01T13:36:33.491911683Z,2,222.84,70
"""
T0 = 1_722_519_392_491_911_683


def table(folder: Path, text: str | bytes = LEVEL_ONE, name: str = "aapl.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path
