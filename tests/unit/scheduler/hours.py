"""A scheduler's core driven by hand, in the hours of an exchange."""

from __future__ import annotations

import msgspec

from tests.unit.scheduler.bench_core import START, Bench

BTC = "BTC/USDT"


class HoursBench(Bench):
    """A bench whose instrument is traded in the hours of an exchange."""

    def __init__(self, hours: str = "XNYS", at_ns: int = START, with_book: bool = False) -> None:
        super().__init__(with_book)
        instruments = {BTC: msgspec.structs.replace(self.config.instruments[BTC], calendar=hours)}
        self.config = msgspec.structs.replace(self.config, instruments=instruments)
        self.core = self.make()
        self.now_ns = at_ns
