"""Whether the venue's word on an account is our own, and what follows where it is not.

A word (`VenueHoldings`) is weighed when the trades up to its answer have been pulled from every venue of the account.
Nobody knows at which moment it was true, and replicas are behind; so it is compared with what we held at every moment
of the last while, as our fills tell it: equal to any of them is equal. Else the same difference must be found again
after a pause, with no order of the account unknown, before it is taken over.

All of this is merely heard and asked for again after a restart. What comes of it is an event of the account's
history.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, NamedTuple, Protocol

from bestex import messages as m
from bestex import subjects
from bestex.clock import DAY, SECOND, Time
from bestex.core import Alarm, Call, Effect, Fact, Wake
from bestex.errors import Code, VenueError
from bestex.units import EXACT
from services.gateway import port as p
from services.gateway.controls.wanted import Refusal
from services.gateway.holdings import ZERO, Account, Holdings, Pot, difference
from services.gateway.memory import Memory
from services.gateway.orders import Status

LOOK_EVERY_NS = 60 * SECOND  # what a deposit may wait until it can be used; two light requests a minute
AGAIN_NS = 5 * SECOND  # between two looks at what is not clear: longer than replicas are behind
BEHIND_NS = 10 * SECOND  # how long ago a word may have been true
MOMENTS_MAX = 500  # of those that are compared; more fills than that in so short a time, and the newest count
RENEW_NS = DAY  # far below any `bus.max_age`

_LACKS = (Code.INSUFFICIENT_FUNDS, Code.NOT_HELD)

Differences = frozenset[tuple[str, Decimal]]
Out = list[Fact | Effect]


class View(NamedTuple):
    """One pot, the venue's word on it, and under which venue it is written down."""

    what: Literal["balances", "positions"]
    venue: str
    pot: Pot
    said: Mapping[str, Decimal]


@dataclass(slots=True)
class Doubt:
    """Differences of which each would explain all words since then."""

    since_ns: int
    found: Collection[Differences]


class Gateway(Protocol):
    """What is looked at of the core. `since` tells where a pull of a venue begins."""

    holdings: Holdings
    memory: Memory
    sessions: dict[str, p.Session]
    pulled_ns: dict[str, int]

    def since(self, venue: str, now: Time) -> int: ...


class Reconciler:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._holdings = gateway.holdings
        self._words: dict[str, p.VenueHoldings] = {}  # by venue, those that wait for the trades
        self._doubts: dict[tuple[str, str, str], Doubt] = {}
        self._asked_ns: dict[str, int] = {}

    # -- when to look --------------------------------------------------------------------------------------------

    def look(self, venue: str, now: Time) -> Out:
        """The venue's timer: ask now, and again after a while."""
        if venue not in self._holdings.by_venue or self._gateway.sessions[venue] is not p.Session.RECONCILED:
            return []  # each connection begins with a look
        self._asked_ns[venue] = now
        return [Call(p.AskHoldings(venue=venue), always=True), Wake(key(venue), now + LOOK_EVERY_NS)]

    def session(self, said: p.SessionState) -> None:
        """What was known of the account before a session was made anew has to be confirmed."""
        account = self._holdings.by_venue.get(said.venue)
        if account is not None and said.state is not p.Session.RECONCILED:
            account.weighed.discard(said.venue)
            self._words.pop(said.venue, None)

    def refused(self, venue: str, why: p.VenueSaid | Refusal, now: Time) -> Out:
        """An order was refused for what the account lacks, by the venue or by ourselves: is that still so?"""
        if not isinstance(why, p.VenueRejected | Refusal) or why.code not in _LACKS:
            return []
        if venue not in self._holdings.by_venue:
            return []
        return [Wake(key(venue), max(now, self.asked_ns(venue) + AGAIN_NS))]

    def asked_ns(self, venue: str) -> int:
        """When its account was looked at last; 0 before the first time."""
        return self._asked_ns.get(venue, 0)

    def answered(self, said: p.VenueHoldings, now: Time) -> Out:
        """A word; the trades up to it are pulled from all venues that move the account."""
        account = self._holdings.by_venue.get(said.venue)
        if account is None:
            return []
        self._asked_ns[said.venue] = max(said.asked_ns, self.asked_ns(said.venue))
        self._words[said.venue] = said
        # A session that is being made pulls its trades by itself.
        mine = self._gateway.sessions[said.venue] is p.Session.RECONCILED
        return [
            Call(p.PullFills(venue=venue, since_ns=self._gateway.since(venue, now)), always=True)
            for venue in self._moving(account, said.venue)
            if mine or venue != said.venue
        ]

    def pulled(self, venue: str, now: Time) -> Out:
        """All trades of a venue up to some moment are known: which words wait for no more?"""
        account = self._holdings.by_venue.get(venue)
        out: Out = []
        for asked in account.venues if account is not None else ():
            word = self._words.get(asked)
            if word is not None and account is not None and self._is_complete(account, word):
                del self._words[asked]
                out += self._weigh(account, word, now)
        return out

    def _moving(self, account: Account, asked: str) -> list[str]:
        """The venues whose trades may be in a word. One that is down tells nothing, and where it has no order of ours
        there is nothing to tell."""
        opened = self._gateway.memory.open
        return [
            v
            for v in account.venues
            if v == asked or opened[v] or self._gateway.sessions[v] is not p.Session.DOWN
        ]

    def _is_complete(self, account: Account, word: p.VenueHoldings) -> bool:
        moving = self._moving(account, word.venue)
        return all(self._gateway.pulled_ns.get(venue, 0) >= word.answered_ns for venue in moving)

    # -- what it means -------------------------------------------------------------------------------------------

    def _weigh(self, account: Account, word: p.VenueHoldings, now: Time) -> Out:
        views = [View("balances", account.home, account.wallet, word.balances)]
        if word.venue in account.perps:
            instruments = self._holdings.instruments
            held = {name: instruments.by_symbol[name].qty(units) for name, units in word.positions.items()}
            views.append(View("positions", word.venue, account.perps[word.venue], held))
        account.weighed.add(word.venue)
        out: Out = []
        clear = True
        for view in views:
            facts = self._compare(account, view, word, now)
            clear = clear and facts is not None
            out += facts or []
        return [*out, Wake(key(word.venue), now + (LOOK_EVERY_NS if clear else AGAIN_NS))]

    def _compare(self, account: Account, view: View, word: p.VenueHoldings, now: Time) -> Out | None:
        """The facts that follow; None where it must be looked again soon."""
        which = account.name, view.what, view.venue
        pot = view.pot
        settled = not pot.kept or pot.kept[-1].heard_ns < word.asked_ns - AGAIN_NS
        if not pot.word_ns:
            if not settled:
                return None  # the fills that the word knows cannot be told from those that it does not
            return [self._opened(account, view, now)]
        moments = _moments(pot, view.said, word.asked_ns)
        open_too = {name for name in pot.unsure if account.has_perps_in(name)}
        found: dict[Differences, dict[str, Decimal]] = {}
        for moment in moments:
            found.setdefault(frozenset((n, d) for n, d in moment.items() if n not in open_too), moment)
        self._lean(account, view, found.get(frozenset(), moments[0]))
        if frozenset() in found:
            self._doubts.pop(which, None)
            renew = settled and not moments[0] and now - pot.word_ns >= RENEW_NS
            return [self._opened(account, view, now)] if renew else []
        doubt = self._doubts.get(which)
        common = [one for one in found if doubt is None or one in doubt.found]
        if doubt is None or not common:
            self._doubts[which] = Doubt(word.answered_ns, tuple(found))
            return None
        doubt.found = common
        unknown = any(
            child.status is Status.UNKNOWN
            for venue in account.venues
            for child in self._gateway.memory.open[venue].values()
        )
        if unknown or word.answered_ns - doubt.since_ns < AGAIN_NS:
            return None
        del self._doubts[which]
        return self._adjusted(account, view, dict(common[0]), now)

    def _lean(self, account: Account, view: View, differences: Mapping[str, Decimal]) -> None:
        """Until it is clear, less than ours counts; more does not, but where a perpetual earns it."""
        if view.what == "balances":
            account.lean(
                {
                    name: differs
                    for name, differs in differences.items()
                    if differs < 0 or (name in view.pot.unsure and account.has_perps_in(name))
                }
            )

    def _opened(self, account: Account, view: View, now: Time) -> Fact:
        amounts = {name: amount for name, amount in view.said.items() if amount}
        return _fact(m.HoldingsOpened(**self._common(account, view, amounts, now)))

    def _adjusted(self, account: Account, view: View, differences: dict[str, Decimal], now: Time) -> Out:
        names = differences.keys() | view.pot.amounts.keys()
        sums = {name: EXACT.add(view.pot.of(name), differences.get(name, ZERO)) for name in sorted(names)}
        amounts = {name: amount for name, amount in sums.items() if amount}
        what = ", ".join(f"{name} {differs:+f}" for name, differs in sorted(differences.items()))
        text = f"{view.what} of {account.name} at {view.venue} differ from our own by {what}"
        if account.elsewhere:
            text += f"; {', '.join(account.elsewhere)} of the same account are worked elsewhere"
        known = account.elsewhere or not differences.keys() - view.pot.unsure
        code = None if known else Code.HOLDINGS_DIFFER
        common = self._common(account, view, amounts, now)
        fact = _fact(m.HoldingsAdjusted(**common, differences=differences, code=code, text=text))
        return [fact] if known else [fact, Alarm(Code.HOLDINGS_DIFFER, fact.subject, VenueError(text))]

    def _common(self, account: Account, view: View, amounts: dict[str, Decimal], now: Time) -> dict[str, Any]:
        """Both kinds are of now: all fills that are known are in `amounts`."""
        last_ns = self._gateway.memory.last_fill_ns
        return {
            "venue": view.venue,
            "account": account.name,
            "at": now,
            "what": view.what,
            "amounts": amounts,
            "until": {venue: Time(last_ns[venue]) for venue in account.venues if last_ns[venue]},
        }


def key(venue: str) -> str:
    return f"look:{venue}"


def _fact(event: m.HoldingsEvent) -> Fact:
    subject = subjects.holdings(event.venue, event.account, subjects.event_name(event))
    return Fact(subject, event, lane=f"holdings:{event.venue}:{event.account}")


def _moments(pot: Pot, said: Mapping[str, Decimal], asked_ns: int) -> list[dict[str, Decimal]]:
    """How the word differs from what we held at each moment at which it may have been true, now first."""
    ours = dict(pot.amounts)
    moments = [difference(said, ours)]
    for moved in sorted(pot.kept, key=lambda one: one.venue_ns, reverse=True)[:MOMENTS_MAX]:
        if moved.heard_ns < asked_ns - BEHIND_NS or moved.venue_ns <= pot.until.get(moved.venue, 0):
            continue
        for name, amount in moved.amounts:
            ours[name] = EXACT.subtract(ours.get(name, ZERO), amount)
        moments.append(difference(said, ours))
    return moments
