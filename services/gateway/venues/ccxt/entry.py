"""How orders go out: over the line where the venue has one and it is up, else over REST; each once, either way.

Which way is decided before anything is sent. A line that breaks with a request outstanding leaves it unknown: it is
never sent again over REST.
"""

from __future__ import annotations

from typing import Any

from services.gateway import port as p
from services.gateway.venues.ccxt.line import Line
from services.gateway.venues.ccxt.quirks.base import LimitTerms, Quirk, SocketQuirk


class Entry:
    def __init__(self, quirk: Quirk, line: Line | None) -> None:
        self._quirk, self._line = quirk, line

    def _socket(self) -> tuple[Line, SocketQuirk] | None:
        words = self._quirk.socket
        if self._line is None or words is None or not self._line.is_up:
            return None
        return self._line, words

    async def create(self, exchange: Any, order: p.Submit, terms: LimitTerms) -> Any:
        if way := self._socket():
            line, words = way
            number = line.next_number()
            frame = words.new(exchange, number, order, terms)
            return words.order(exchange, await line.ask(number, frame), terms.symbol)
        return await self._quirk.create(exchange, order, terms)

    async def cancel(self, exchange: Any, order: p.Cancel, symbol: str) -> Any:
        if way := self._socket():
            line, words = way
            number = line.next_number()
            frame = words.cancel(exchange, number, order, symbol)
            return words.order(exchange, await line.ask(number, frame), symbol)
        return await self._quirk.cancel(exchange, order, symbol)

    async def amend(self, exchange: Any, order: p.Replace, terms: LimitTerms) -> Any:
        if way := self._socket():
            line, words = way
            number = line.next_number()
            frame = words.amend(exchange, number, order, terms)
            return words.order(exchange, await line.ask(number, frame), terms.symbol)
        return await self._quirk.amend(exchange, order, terms)
