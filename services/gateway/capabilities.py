"""What a venue can do, as its adapter says."""

from __future__ import annotations

import msgspec

from bestex.budget import RateBudget
from bestex.messages import Tif


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue can do, as its adapter uses it; `bestex venues` lists it."""

    tifs: frozenset[Tif] = frozenset({Tif.IOC, Tif.GTC})
    post_only: bool = False
    client_id_length: int = 0  # 0: the venue takes none, so only its own ids find an order
    native_replace: bool = False
    ids_change: bool = False  # a replaced order has another id at the venue than before
    late_rejects: bool = False  # an acknowledged order may still be refused
    native_iceberg: bool = False
    min_qty: bool = False  # it takes orders that trade nothing below a minimum at once
    conditional: bool = False  # it takes orders that bind nobody until they are firmed up
    dead_man: bool = False
    in_flight_max: int = 16  # requests that wait for its answer at once
    holdings: bool = False  # balances and positions are the account's own, and what it lacks is refused
    money_told: bool = True  # its balances tell the money too, and at once; else only what is bought with it
    one_wallet: bool = False  # one purse for all venues of its exchange
    fee_of_received: bool = (
        False  # of a spot purchase the fee is taken out of what was bought, so it needs no quote
    )
    sequence_checks: bool = False  # its market data says where something is missing
    rates: tuple[RateBudget, ...] = ()
    calendar: str = "24/7"  # when it trades, as in `bestex.sessions`
