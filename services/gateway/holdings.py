"""What the accounts at the venues hold: the venue's word, our own fills since, and what open orders may still use.

An account is one purse at an exchange, of one venue or of several (`Config` and `Capabilities.one_wallet` say which).
Of each there are pots: the balances of its currencies, and per venue of perpetuals the positions. A pot begins with
the venue's own word (`opened`), every fill moves it exactly, and where the venue's word stays another one, that is
taken over (`adjusted`). Pots are a function of the journal: which fills are in a word is decided by their own times,
so that the order in which a restart reads them changes nothing.

What is reserved is a function of the open children: a buy's limit value with its fees, a sell's quantity, unknown
ones whole. Of a perpetual nothing is reserved here: margin is the venue's business, and positions have limits of
their own.

Amounts are exact decimals of a currency or of base; reservations are integers of 10**-scale, by currency.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from bestex import messages as m
from bestex.clock import SECOND, Time
from bestex.config import Config
from bestex.errors import Code
from bestex.instruments import FEE_ONE, FEE_SCALE, Instrument, Instruments, Listing
from bestex.messages import Side
from bestex.units import EXACT, from_units
from services.gateway.controls.wanted import Refusal, Wanted
from services.gateway.orders import Child
from services.gateway.port import Capabilities

KEPT_NS = (
    60 * SECOND
)  # of fills: longer than a write waits for the bus, and than a venue's replicas are behind
KEPT_MAX = 20_000  # of them: 300 a second for that long

DIGITS = 12  # behind the point; less of any currency is nothing
FLOAT_DIGITS = 14  # of a float's 15, one for the rounding of sums
_ROUNDING = EXACT.copy()
_ROUNDING.clear_traps()

ZERO = Decimal(0)


class Moved(NamedTuple):
    """What one fill has moved. `unsure`: currencies that it moved by an amount that only the venue knows."""

    venue: str
    venue_ns: int
    heard_ns: int
    amounts: tuple[tuple[str, Decimal], ...]
    unsure: tuple[str, ...] = ()


@dataclass(slots=True)
class Pot:
    """Balances or positions. `word_ns` is when the venue's word that it rests on was taken, 0 before there is one;
    `until`, by venue, up to which of its trades that word speaks. `unsure` are names that have moved since by what no
    fill says. `differed_ns`: when the word last was another than ours, without a reason that we know."""

    word_ns: int = 0
    amounts: dict[str, Decimal] = field(default_factory=dict)
    until: dict[str, int] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    differed_ns: int = 0
    kept: deque[Moved] = field(default_factory=deque)

    def move(self, moved: Moved) -> None:
        kept = self.kept
        kept.append(moved)
        while kept[0].heard_ns < moved.heard_ns - KEPT_NS or len(kept) > KEPT_MAX:
            kept.popleft()
        if self.word_ns:
            self._add(moved)

    def take(self, event: m.HoldingsEvent) -> None:
        """The venue's word. An older one than is known changes nothing."""
        if event.at < self.word_ns:
            return
        self.word_ns = event.at
        self.amounts = dict(event.amounts)
        self.until = {venue: int(at) for venue, at in event.until.items()}
        self.unsure = set()
        if isinstance(event, m.HoldingsAdjusted) and event.code is not None:
            self.differed_ns = event.at
        for moved in self.kept:
            self._add(moved)

    def of(self, name: str) -> Decimal:
        return self.amounts.get(name, ZERO)

    def _add(self, moved: Moved) -> None:
        if moved.venue_ns <= self.until.get(moved.venue, 0):
            return
        for name, amount in moved.amounts:
            self.amounts[name] = EXACT.add(self.amounts.get(name, ZERO), amount)
        self.unsure.update(moved.unsure)


class Place:
    """One listing, in the currencies that it moves. A venue that names shares by a code tells of them by the
    instrument's name. `fee_e8`: of a buy's value, what must be held besides. Without `money_told` no quote is
    counted: whether it suffices is the venue's to say."""

    def __init__(self, instrument: Instrument, listing: Listing, capabilities: Capabilities) -> None:
        self.instrument, self.listing = instrument, listing
        name = listing.symbol if "/" in listing.symbol else instrument.symbol
        self.base, _, rest = name.partition("/")
        self.quote, _, settle = rest.partition(":")
        self.settle = settle or self.quote
        self.is_perp = listing.kind == "perp"
        self.money_told = capabilities.money_told
        fee_e8 = 0 if capabilities.fee_of_received else max(listing.taker_fee_e8, listing.maker_fee_e8, 0)
        self.rate = FEE_ONE + fee_e8
        self.quote_digits = instrument.price_scale + instrument.qty_scale + FEE_SCALE
        self.base_digits = instrument.qty_scale
        self.quote_step = self.base_step = 1  # of a currency's integers, for one of ours

    def uses(self, side: Side, qty: int, value: int, *, ticket: bool = True) -> int:
        """What so much of a spot order uses up, in the integers of its currency."""
        if side is Side.SELL:
            return qty * self.base_step
        ticket_fee = self.listing.ticket_fee if ticket and qty else 0
        return (value * self.rate + ticket_fee * FEE_ONE) * self.quote_step

    def currency(self, side: Side) -> str:
        return self.quote if side is Side.BUY else self.base

    def moved(self, fill: m.Fill) -> tuple[list[tuple[str, Decimal]], tuple[str, ...]]:
        """What a fill moves in the balances, and what it moves beyond that by what only the venue knows."""
        amounts: list[tuple[str, Decimal]] = []
        unsure: tuple[str, ...] = (self.settle,) if self.is_perp else ()  # what was gained is settled
        if not self.is_perp:
            signed = _signed(fill)
            amounts.append((self.base, signed))
        if not self.money_told:
            return amounts, ()
        if not self.is_perp:
            amounts.append((self.quote, EXACT.multiply(signed, fill.price).copy_negate()))
        currency = fill.fee_currency or self.quote
        fee = fill.fee_amount if fill.fee_amount is not None else fill.fee if currency == self.quote else None
        if fee is None:
            return amounts, (*unsure, currency)
        if fee:
            amounts.append((currency, fee.copy_negate()))
        return amounts, unsure


class Account:
    """`home` is the venue under whose name its balances are written down; `elsewhere` are its venues that this
    process does not serve. `perps` are the positions by venue.

    Volatile: `weighed`, the venues whose word has been compared since their session began; and `leaning`, by
    currency, what is added to our own balance until it is clear what the venue's word means. It is what a word fell
    short of ours, or, where an open perpetual moves the currency, all that it differed by.
    """

    def __init__(self, name: str, venues: tuple[str, ...], elsewhere: tuple[str, ...]) -> None:
        self.name, self.venues, self.elsewhere = name, venues, elsewhere
        self.home = venues[0]
        self.wallet = Pot()
        self.perps: dict[str, Pot] = {}
        self.settled: dict[tuple[str, str], str] = {}  # (venue, symbol) of a perpetual: its currency
        self.digits: dict[str, int] = {}
        self.reserved: dict[str, int] = {}
        self.leaning: dict[str, Decimal] = {}
        self.weighed: set[str] = set()
        self._free: dict[str, int] = {}  # by currency, what is held as an integer: found once per change

    def pot(self, event: m.HoldingsEvent) -> Pot | None:
        return self.wallet if event.what == "balances" else self.perps.get(event.venue)

    def lean(self, leaning: dict[str, Decimal]) -> None:
        self.leaning = leaning
        self._free.clear()

    def move(self, place: Place, fill: m.Fill) -> None:
        amounts, unsure = place.moved(fill)
        when = fill.venue, int(fill.venue_at), int(fill.at)
        self.wallet.move(Moved(*when, tuple(amounts), unsure))
        for currency, _ in amounts:
            self._free.pop(currency, None)
        if place.is_perp:
            self.perps[fill.venue].move(Moved(*when, ((fill.symbol, _signed(fill)),)))

    def reserve(self, currency: str, more: int) -> None:
        reserved = self.reserved.get(currency, 0) + more
        assert reserved >= 0, "no more is let go than was reserved"
        if reserved:
            self.reserved[currency] = reserved
        else:
            self.reserved.pop(currency, None)

    def take(self, event: m.HoldingsEvent) -> None:
        pot = self.pot(event)
        if pot is not None:
            pot.take(event)
        if pot is self.wallet:
            settled = event.differences if isinstance(event, m.HoldingsAdjusted) else self.leaning
            self.lean({name: differs for name, differs in self.leaning.items() if name not in settled})

    def held(self, currency: str) -> Decimal:
        lean = self.leaning.get(currency)
        return self.wallet.of(currency) if lean is None else EXACT.add(self.wallet.of(currency), lean)

    def free(self, currency: str) -> int:
        """What no open order may use, in the currency's integers; below zero where more is reserved than is held."""
        held = self._free.get(currency)
        if held is None:
            scaled = self.held(currency).scaleb(self.digits.get(currency, 0), EXACT)
            held = int(scaled)  # four times as fast as math.floor
            held = self._free[currency] = held if held <= scaled else held - 1
        return held - self.reserved.get(currency, 0)

    def has_perps_in(self, currency: str) -> bool:
        return any(
            settled == currency and self.perps[venue].of(symbol)
            for (venue, symbol), settled in self.settled.items()
        )

    def shown(self, currency: str, amount: int) -> Decimal:
        return from_units(amount, self.digits.get(currency, 0))


class Holdings:
    """The accounts of one process, those of which the venues have `Capabilities.holdings` and the configuration does
    not say `holdings = false`."""

    def __init__(self, venues: Mapping[str, Capabilities], instruments: Instruments, config: Config) -> None:
        self.instruments = instruments
        self.accounts: dict[str, Account] = {}
        self.by_venue: dict[str, Account] = {}
        self._places: dict[tuple[str, str], Place] = {}
        self._open: dict[str, int] = {}  # by child, what it reserves
        tracked = {
            venue: account_of(venue, config, capabilities)
            for venue, capabilities in venues.items()
            if capabilities.holdings and config.venues[venue].holdings
        }
        self._stops = {venue for venue in tracked if config.venues[venue].on_difference == "stop"}
        for name in dict.fromkeys(tracked.values()):
            served = tuple(venue for venue, account in tracked.items() if account == name)
            elsewhere = _elsewhere(name, served[0], venues, config)
            account = self.accounts[name] = Account(name, served, elsewhere)
            self.by_venue.update(dict.fromkeys(served, account))
            self._list(account, venues, instruments)

    def _list(self, account: Account, venues: Mapping[str, Capabilities], instruments: Instruments) -> None:
        places = [
            Place(instrument, listing, venues[venue])
            for venue in account.venues
            for instrument in instruments.all
            if (listing := instrument.listing(venue)) is not None
        ]
        for place in places:
            self._places[place.listing.venue, place.instrument.symbol] = place
            if place.is_perp:
                account.perps.setdefault(place.listing.venue, Pot())
                account.settled[place.listing.venue, place.instrument.symbol] = place.settle
            for currency, digits in ((place.base, place.base_digits), (place.quote, place.quote_digits)):
                account.digits[currency] = max(account.digits.get(currency, 0), digits)
        for place in places:
            place.base_step = 10 ** (account.digits[place.base] - place.base_digits)
            place.quote_step = 10 ** (account.digits[place.quote] - place.quote_digits)

    # -- before a send -----------------------------------------------------------------------------------------

    def check(self, wanted: Wanted, released_ns: int) -> Refusal | None:
        """`released_ns`: when a person last let such orders go. A perpetual needs no inventory, and its venue looks
        at the margin."""
        account = self.by_venue.get(wanted.venue)
        if account is None:
            return None
        place = self._places[wanted.venue, wanted.symbol]
        pots = (account.wallet,) if not place.is_perp else (account.wallet, account.perps[wanted.venue])
        for pot in pots:
            if not pot.word_ns or wanted.venue not in account.weighed:
                return Refusal(Code.NOT_READY, f"what the account {account.name} holds is not known yet")
            if pot.differed_ns > released_ns and wanted.venue in self._stops:
                look = f"`bestex unhalt venue:{wanted.venue}` lets it go on"
                return Refusal(
                    Code.HOLDINGS_DIFFER, f"what {account.name} holds was not what we knew; {look}"
                )
        if place.is_perp or not (place.money_told or wanted.side is Side.SELL):
            return None
        currency = place.currency(wanted.side)
        needed = place.uses(wanted.side, wanted.more, wanted.more_value, ticket=not wanted.replaces)
        if needed <= account.free(currency) or not needed:
            return None
        reserved = account.shown(currency, account.reserved.get(currency, 0))
        text = (
            f"it would use {account.shown(currency, needed)} {currency}; {account.name} holds "
            f"{account.held(currency)}, of which open orders may use {reserved}"
        )
        return Refusal(Code.NOT_HELD, text)

    # -- from the journal --------------------------------------------------------------------------------------

    def moved(self, child: Child) -> None:
        """The child may have changed: what it reserves is counted anew."""
        place = self._places.get((child.venue, child.symbol))
        if place is None or place.is_perp:
            return
        after = place.uses(child.side, child.reserved, child.reserved_value)
        before = self._open.pop(child.child_id, 0)
        if after:
            self._open[child.child_id] = after
        if after != before:
            self.by_venue[child.venue].reserve(place.currency(child.side), after - before)

    def filled(self, fill: m.Fill) -> None:
        """A trade that has not been counted before."""
        place = self._places.get((fill.venue, fill.symbol))
        if place is not None:
            self.by_venue[fill.venue].move(place, fill)

    def taken(self, event: m.HoldingsEvent) -> None:
        account = self.accounts.get(event.account)
        if account is not None:
            account.take(event)

    # -- checkpoints -------------------------------------------------------------------------------------------

    def durable(self) -> dict[str, dict[str, Pot]]:
        return {name: {"": one.wallet, **one.perps} for name, one in self.accounts.items()}

    def restore(self, durable: Mapping[str, Mapping[str, Pot]], opened: Iterable[Child]) -> None:
        for name, pots in durable.items():
            account = self.accounts[name]
            account.wallet = pots[""]
            account.perps = {venue: pot for venue, pot in pots.items() if venue}
        for child in opened:
            self.moved(child)

    # -- for people --------------------------------------------------------------------------------------------

    def answer(self) -> Iterator[m.AccountHoldings]:
        for account in self.accounts.values():
            wallet = account.wallet
            yield m.AccountHoldings(
                account=account.name,
                venues=list(account.venues),
                known=bool(wallet.word_ns) and all(pot.word_ns for pot in account.perps.values()),
                balances={c: plain for c in sorted(wallet.amounts) if (plain := account.held(c))},
                reserved={c: account.shown(c, n) for c, n in sorted(account.reserved.items()) if n},
                positions={
                    f"{venue} {symbol}": amount
                    for venue, pot in account.perps.items()
                    for symbol, amount in sorted(pot.amounts.items())
                    if amount
                },
                in_doubt=sorted(account.leaning),
                differed_at=_last_difference(account),
            )


def _signed(fill: m.Fill) -> Decimal:
    return fill.qty if fill.side is Side.BUY else fill.qty.copy_negate()


def _last_difference(account: Account) -> Time | None:
    at_ns = max(pot.differed_ns for pot in (account.wallet, *account.perps.values()))
    return Time(at_ns) if at_ns else None


def account_of(venue: str, config: Config, capabilities: Capabilities) -> str:
    """The account that a venue belongs to: as configured, or that of its exchange where that has one purse for all of
    its venues, or its own."""
    exchange = venue.rpartition("_")[0] if capabilities.one_wallet else ""
    return config.venues[venue].account or exchange or venue


def _elsewhere(name: str, like: str, venues: Mapping[str, Capabilities], config: Config) -> tuple[str, ...]:
    """The enabled venues of the same account that other processes serve. What those can do is not known here: they
    are taken to be like the one that is."""
    return tuple(
        other
        for other in config.enabled_venues()
        if other not in venues
        and config.venues[other].adapter == config.venues[like].adapter
        and account_of(other, config, venues[like]) == name
    )


def difference(said: Mapping[str, Decimal], ours: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """The venue's word less ours, by name, where they are not the same. Venues' numbers may have come through a
    float, so what is beyond its digits does not count."""
    found: dict[str, Decimal] = {}
    for name in said.keys() | ours.keys():
        word, own = said.get(name, ZERO), ours.get(name, ZERO)
        if word != own:
            digits = DIGITS if not word else min(DIGITS, FLOAT_DIGITS - 1 - word.adjusted())
            rounded = EXACT.subtract(word, own).quantize(Decimal(1).scaleb(-digits), context=_ROUNDING)
            if rounded:
                found[name] = rounded.normalize(_ROUNDING)
    return found
