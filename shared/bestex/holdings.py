"""What the accounts at the venues hold, as every gateway answers for its own: for `bestex positions` and whoever
asks."""

from __future__ import annotations

import time

from nats.aio.client import Client

from bestex import asking, codec, subjects
from bestex import messages as m

ROUND_S = 0.2  # how long the answers to one question are waited for
ASKED_S = 2.0  # a gateway that is busy deciding may miss some


async def ask(client: Client, venues: tuple[str, ...], wait_s: float = ASKED_S) -> list[m.AccountHoldings]:
    """The accounts of `venues`, by name. Those of no gateway that answers are left out, and so are those of venues
    whose holdings are not counted: their gateways say nothing of them."""
    deadline = time.monotonic() + wait_s
    found: dict[tuple[str, ...], m.AccountHoldings] = {}
    answered: set[str] = set()
    while True:
        payloads = await asking.ask_all(
            client, subjects.POSITIONS, codec.to_json(m.HoldingsQuestion()), ROUND_S
        )
        for payload in payloads:
            answer = codec.from_json(payload, m.HoldingsAnswer)
            answered.update(answer.venues)
            # Two processes may have venues of one account: each is shown with what it knows.
            found |= {(one.account, *one.venues): one for one in answer.accounts}
        if answered >= set(venues) or time.monotonic() > deadline:
            wanted = (one for one in found.values() if set(one.venues) & set(venues))
            return sorted(wanted, key=lambda one: (one.account, one.venues))
