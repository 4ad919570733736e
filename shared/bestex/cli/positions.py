"""`bestex positions`: what the accounts at the venues hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bestex.cli.common import COMMON, Common, console, print_json, table
from bestex.units import total

if TYPE_CHECKING:
    from rich.table import Table

    from bestex.messages import AccountHoldings


async def positions(
    *, venue: Annotated[list[str] | None, Parameter(negative="")] = None, common: Common = COMMON
) -> int:
    """Balances and positions as the gateways know them: the venue's word and all fills since.

    bestex positions
    bestex positions --venue binance_spot --json

    Exit code: 0 all is known, 1 an account is not known or in doubt, or no gateway counts any.

    Parameters
    ----------
    venue
        Only the accounts of this venue; may be given more than once.
    """
    from bestex import bus, bus_access, holdings, rights

    config = common.load()
    wanted = config.chosen_venues(tuple(venue or ()))
    client = await bus.connect(bus_access.find(config, rights.MONITOR), "bestex-positions")
    try:
        accounts = await holdings.ask(client, wanted)
    finally:
        await client.close()
    sound = bool(accounts) and all(one.known and not one.in_doubt for one in accounts)
    if common.json:
        print_json({"accounts": accounts})
    elif not accounts:
        print("no gateway that answers counts what its account holds")
    else:
        console().print(shown(accounts))
    return 0 if sound else 1


def shown(accounts: list[AccountHoldings]) -> Table:
    """One line for each currency and each position."""
    rows = table("account", "venues", "", "held", "open orders may use", "free", "")
    for one in accounts:
        note = "" if one.known else "not known yet: nothing is sent there"
        if one.differed_at is not None:
            note = f"differed from our own at {one.differed_at}"
        first = (one.account, ", ".join(one.venues))
        if not one.balances and not one.positions:
            rows.add_row(*first, "", "", "", "", note)
        for currency in sorted(one.balances.keys() | one.reserved.keys()):
            held, reserved = one.balances.get(currency, total()), one.reserved.get(currency, total())
            free = total(held, reserved.copy_negate())
            doubt = "in doubt" if currency in one.in_doubt else note
            rows.add_row(*first, currency, f"{held:f}", f"{reserved:f}", f"{free:f}", doubt)
        for name, position in one.positions.items():
            rows.add_row(*first, name, f"{position:f}", "", "", note)
    return rows
