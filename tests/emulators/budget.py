"""Rate limits as exchanges count them: weight within windows of fixed length, and a ban for whoever goes on."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Budget:
    """`limit` of weight in each window of `window_s`; more than `patience` refusals in a row is a ban of `ban_s`."""

    limit: float
    window_s: float
    patience: int = 10
    ban_s: float = 120.0
    used: float = field(default=0.0, init=False)
    banned_until_s: float = field(default=0.0, init=False)
    _window: int = field(default=-1, init=False)
    _refused: int = field(default=0, init=False)

    def spend(self, weight: float, now_s: float) -> float:
        """0 where it fits; else the seconds until it does, and nothing is spent."""
        if now_s < self.banned_until_s:
            return self.banned_until_s - now_s
        window = int(now_s // self.window_s)
        if window != self._window:
            self._window, self.used, self._refused = window, 0.0, 0
        if self.used + weight <= self.limit:
            self.used += weight
            return 0.0
        self._refused += 1
        if self._refused > self.patience:
            self.banned_until_s = now_s + self.ban_s
            return self.ban_s
        return (window + 1) * self.window_s - now_s

    def is_banned(self, now_s: float) -> bool:
        return now_s < self.banned_until_s
