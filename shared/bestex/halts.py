"""Halts: which orders an operator's word stops. The gateway refuses them, router and scheduler wait.

A scope is `global`, `venue-<name>`, `account-<name>`, `algo-<name>` or `parent-<id>`: one token of a subject.
"""

from __future__ import annotations

from collections.abc import Collection

from bestex.errors import UsageError
from bestex.ids import token

GLOBAL = "global"
KINDS = ("venue", "account", "algo", "parent")


def wire_scope(text: str) -> str:
    """`venue:sim_a`, as people write it, or `venue-sim_a`, as it travels. UsageError where it is no scope."""
    if text == GLOBAL:
        return GLOBAL
    for kind in KINDS:
        for separator in (":", "-"):
            name = text.removeprefix(f"{kind}{separator}")
            if name not in (text, ""):
                return f"{kind}-{token(name)}"
    raise UsageError(f'"{text}" is no scope; write global, venue:NAME, account:NAME, algo:NAME or parent:ID')


class Halts:
    """The newest word per scope, by its time."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[int, bool]] = {}
        self._halted: set[str] = set()

    def hear(self, scope: str, at_ns: int, halted: bool) -> None:
        """A word without a time is one that could not be read: it halts, until a readable one follows."""
        scope = token(scope)
        newest = self._said.get(scope, (0, False))[0]
        if not at_ns:
            at_ns, halted = newest, True
        elif at_ns < newest:
            return
        self._said[scope] = (at_ns, halted)
        (self._halted.add if halted else self._halted.discard)(scope)

    def said(self, scope: str) -> tuple[int, bool]:
        """When the newest word on a scope was said (0: never), and whether it halts."""
        return self._said.get(token(scope), (0, False))

    @property
    def none(self) -> bool:
        """Whether nothing at all is halted, as nearly always."""
        return not self._halted

    def covers(self, venue: str, account: str, algo: str, parent_id: str = "") -> str:
        """The scope that halts such a child; empty where none does."""
        if not self._halted:
            return ""
        return next((s for s in _scopes(venue, account, algo, parent_id) if s in self._halted), "")

    def covers_all(self, venues: Collection[str], account: str, algo: str, parent_id: str) -> str:
        """The scopes that halt such an order on every one of `venues`; empty where some venue may be used."""
        if not self._halted:
            return ""
        found = {self.covers(venue, account, algo, parent_id): None for venue in venues or ("",)}
        return "" if "" in found else ", ".join(found)

    def released_ns(self, venue: str, account: str, algo: str, parent_id: str) -> int:
        """When a person last said that such a child may go; 0 where nobody ever had to."""
        if len(self._said) == len(self._halted):
            return 0
        said = (self._said.get(scope) for scope in _scopes(venue, account, algo, parent_id))
        return max((word[0] for word in said if word is not None and not word[1]), default=0)


def _scopes(venue: str, account: str, algo: str, parent_id: str) -> tuple[str, ...]:
    names = zip(KINDS, (venue, account, algo, parent_id), strict=True)
    return (GLOBAL, *(f"{kind}-{token(name)}" for kind, name in names))
