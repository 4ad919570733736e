"""Units as people write them in configuration and parameters: "30m", "40%", "10bps"."""

from __future__ import annotations

import math
import re
from decimal import Decimal

from bestex.clock import DAY, HOUR, MINUTE, MS, SECOND, US

_NS = {"us": US, "ms": MS, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:us|ms|s|m|h|d))+")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)")


class Duration(int):
    """Whole microseconds in ns, written as "30m", "1h30m", "250ms"; a bare number is seconds."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Duration:
        if isinstance(value, Duration):
            return value
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            value = float(value)
        if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            if not math.isfinite(value) or value < 0:
                raise ValueError(f"{value} is no duration")
            return cls(round(float(value) * SECOND / US) * US)
        if not isinstance(value, str) or not _DURATION.fullmatch(value):
            raise ValueError(f'{value!r} is no duration; write "250ms", "30s", "5m", "1h30m" or "2d"')
        ns = sum(round(float(number) * _NS[unit]) for number, unit in _PART.findall(value))
        return cls(ns - ns % US)

    def __str__(self) -> str:
        if self == 0:
            return "0s"
        rest, text = int(self), ""
        for unit in ("d", "h", "m", "s", "ms", "us"):
            count, rest = divmod(rest, _NS[unit])
            text += f"{count}{unit}" if count else ""
        return text or "0s"

    def __repr__(self) -> str:
        return f'"{self}"'


class Ratio(float):
    """A share or a rate, written as "40%", "0.1%", "10bps" or 0.4."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Ratio:
        if isinstance(value, Ratio):
            return value
        number = float("nan")
        if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            number = float(value)
        elif isinstance(value, str):
            for suffix, divisor in (("%", 1e2), ("bps", 1e4), ("", 1.0)):
                if value.endswith(suffix):
                    try:
                        number = float(value.removesuffix(suffix)) / divisor
                    except ValueError:
                        raise ValueError(f'{value!r} is no ratio; write "40%", "10bps" or 0.4') from None
                    break
        if not math.isfinite(number):
            raise ValueError(f'{value!r} is no ratio; write "40%", "10bps" or 0.4')
        return cls(number)

    def __str__(self) -> str:
        return f"{float(self) * 100:.10g}%"

    def __repr__(self) -> str:
        return f'"{self}"'
