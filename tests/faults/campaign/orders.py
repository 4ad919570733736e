"""The orders of a campaign: every algorithm, every strategy, both sides, some changed on the way. A function of
the seed and the order's number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from random import Random
from typing import Any

from bestex import codec, ids, plugins, subjects

TICK = Decimal("0.1")  # a price grid that every venue takes
UNIT = {
    "BTC/USDT": Decimal("0.2"),
    "ETH/USDT": Decimal(4),
}  # crosses some levels of all venues: several children
CHANGED_SHARE = 0.3
RESTING_BPS = 20  # away from the mid: rests, and mostly stays

# What an algorithm needs to be quick. One that is not named here gets a duration alone.
PARAMS: dict[str, dict[str, Any]] = {
    "market": {"duration": "4s"},
    "limit": {"duration": "6s"},
    "twap": {"duration": "5s", "interval": "250ms", "force_completion": True},
    "vwap": {"duration": "5s", "interval": "500ms"},
    "pov": {"duration": "6s", "rate": "30%", "force_completion": True},
    "is": {"duration": "5s", "interval": "500ms", "replan": "1s", "force_completion": True},
    "iceberg": {"duration": "6s", "display_share": "20%", "refresh": "200ms", "repost_after": "1s"},
    "sniper": {"duration": "5s", "threshold": "45%", "cooldown": "500ms", "force_completion": True},
    "peg": {"duration": "5s", "interval": "300ms"},
    "liquidity": {"duration": "5s", "interval": "500ms", "share": "20%"},
    "block": {"duration": "5s", "interval": "500ms"},
}
OTHERS = {"duration": "6s"}


@dataclass(frozen=True)
class Message:
    """One message of a user: `after_s` after its order."""

    after_s: float
    subject: str
    body: bytes


@dataclass(frozen=True)
class Order:
    parent_id: str
    algo: str
    new: Message
    changes: tuple[Message, ...] = ()


class Orders:
    """Makes the orders, one after the other. `run` begins every id."""

    def __init__(self, seed: int, run: str) -> None:
        self._seed, self._run = seed, run
        self._count = 0

    def next(self, mids: Mapping[str, Decimal]) -> Order:
        number = self._count
        self._count += 1
        chance = Random(f"order {self._seed} {number}")
        algos, strategies = list(plugins.ALGOS), list(plugins.STRATEGIES)
        algo = algos[number % len(algos)]
        symbol = chance.choice([symbol for symbol in UNIT if symbol in mids])
        sign = chance.choice((1, -1))
        qty = UNIT[symbol] * chance.randint(1, 6)
        body: dict[str, Any] = {
            "parent_id": f"{self._run}-{number:06d}-{algo}"[:32],
            "side": "buy" if sign > 0 else "sell",
            "qty": f"{qty:f}",
            "params": PARAMS.get(algo, OTHERS),
            "strategy": strategies[number // len(algos) % len(strategies)],
        }
        if algo == "limit" or chance.random() < 0.2:
            bps = -RESTING_BPS if algo == "limit" and chance.random() < 0.3 else chance.choice((-1, 5, 30))
            body["limit_price"] = f"{_beside(mids[symbol], sign * bps):f}"
        parent_id = body["parent_id"]
        new = Message(0.0, subjects.order("new", algo, symbol), codec.to_json(body))
        changes: list[Message] = []

        def change(after_s: float, verb: str, content: dict[str, Any]) -> None:
            subject = subjects.order(verb, algo, symbol, parent_id)
            changes.append(Message(after_s, subject, codec.to_json(content)))

        if algo != "market" and chance.random() < CHANGED_SHARE:
            at_s = chance.uniform(0.2, 3.0)
            match chance.choice(("modify", "reprice", "pause", "cancel")):
                case "modify":
                    change(at_s, "modify", {"qty": f"{UNIT[symbol] * chance.randint(1, 8):f}"})
                case "reprice":
                    change(at_s, "modify", {"limit_price": f"{_beside(mids[symbol], sign * 10):f}"})
                case "pause":
                    change(at_s, "pause", {"reason": "a while"})
                    change(at_s + chance.uniform(0.2, 1.5), "resume", {})
                case "cancel":
                    change(at_s, "cancel", {"reason": "enough"})
        return Order(parent_id, algo, new, tuple(changes))


def _beside(mid: Decimal, bps: int) -> Decimal:
    return (mid * (1 + Decimal(bps) / 10_000)).quantize(TICK, ROUND_HALF_EVEN)


def new_run() -> str:
    return ids.new_parent_id()[:5]
