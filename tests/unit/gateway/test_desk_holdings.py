"""The desk asks what an account holds, and no session is good before that is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from unittest.mock import patch

from services.gateway import desk as desk_module
from services.gateway import port as p
from services.gateway.desk import Desk
from tests.unit.gateway.test_desk import Scripted, Table
from tests.waiting import until


class Held(Scripted):
    """Answers for its account, unless it is `silent`."""

    silent = True

    async def balances(self) -> dict[str, Decimal] | None:
        self.seen.append(p.AskHoldings(venue="sim_a"))
        return None if self.silent else {"USDT": Decimal(5)}

    async def positions(self) -> dict[str, int] | None:
        return {}

    async def fills_since(self, _since_ns: int) -> Sequence[p.VenueFill] | None:
        return []


def held_table(tracked: Sequence[str]) -> tuple[Table, Held]:
    table, venue = Table(), Held()
    venue.gate.set()
    table.desk = Desk({"sim_a": venue}, Counter(), lambda _: "", tracked)  # type: ignore[dict-item]
    return table, venue


async def test_a_session_is_good_once_its_account_has_been_told_and_the_trades_up_to_that() -> None:
    table, venue = held_table(["sim_a"])
    with patch.object(desk_module, "RECONCILE_PAUSE_S", 0):
        async with table:
            table.desk.call(p.MassStatus(venue="sim_a", since_ns=0))
            await table.until(1)
            assert [said.state for said in table.said] == [p.Session.UP], (
                "no word, so not good; it is asked again"
            )
            table.said.clear()
            venue.silent = False
            table.desk.call(p.MassStatus(venue="sim_a", since_ns=0))
            await table.until(4)
            kinds = [type(said) for said in table.said]
            assert kinds == [p.VenuePulled, p.VenueHoldings, p.VenuePulled, p.SessionState]
            assert table.said[-1].state is p.Session.RECONCILED


async def test_of_an_account_that_is_not_counted_nothing_is_asked() -> None:
    table, venue = held_table([])
    async with table:
        table.desk.call(p.MassStatus(venue="sim_a", since_ns=0))
        await table.until(2)
        assert [type(said) for said in table.said] == [p.VenuePulled, p.SessionState]
        assert not any(isinstance(one, p.AskHoldings) for one in venue.seen)


async def test_a_look_that_is_not_answered_says_nothing() -> None:
    table, venue = held_table(["sim_a"])
    async with table:
        table.desk.call(p.AskHoldings(venue="sim_a"))
        await until(lambda: bool(venue.seen) and not table.desk.in_flight)
        assert table.said == []
        venue.silent = False
        table.desk.call(p.AskHoldings(venue="sim_a"))
        await table.until(1)
        assert table.said[0].balances == {"USDT": Decimal(5)}
