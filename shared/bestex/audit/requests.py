"""What users wrote against what they were answered: every request once, and as it was meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from bestex import messages as m
from bestex.audit.parents import ParentHistory
from bestex.audit.report import Findings, Record, Witness
from bestex.ids import parent_id_of_message, token
from bestex.subjects import ORDERS, SCHED

# What an order says that money depends on; the rest of its body need not be kept.
_KEPT = ("side", "qty", "limit_price", "account", "venues")

_body = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)


@dataclass(slots=True)
class _Request:
    witness: Witness
    verb: str
    algo: str
    symbol: str
    parent_id: str
    body: dict[str, Any]


class Requests:
    """`take` the users' messages in order, then `check` them against the answers."""

    def __init__(self, findings: Findings, truncated: Callable[[str], bool]) -> None:
        self._findings = findings
        self._truncated = truncated
        self._requests: dict[int, _Request] = {}

    def take(self, record: Record, witness: Witness) -> None:
        verb, algo, symbol, name = [*record.subject.split(".")[3:7], "", "", "", ""][:4]
        body: dict[str, Any] = {}
        with suppress(msgspec.MsgspecError, ValueError, RecursionError):
            # The scheduler refuses what cannot be read; the audit only wants an answer.
            body = _body.decode(record.data or b"{}")
        named = body.get("parent_id") if verb == "new" else name
        parent_id = named if isinstance(named, str) and named else parent_id_of_message(record.seq)
        kept = {key: body[key] for key in _KEPT if key in body}
        self._requests[record.seq] = _Request(witness, verb, algo, symbol, parent_id, kept)

    def check(
        self, parents: Iterable[ParentHistory], accepted: Mapping[str, ParentHistory], *, complete: bool
    ) -> None:
        answered: dict[int, Witness] = {}
        for parent in parents:
            for seq, verb, witness in parent.answers:
                self._check_answer(parent, seq, verb, witness, answered)
            self._check_accepted(parent)
            self._check_modified(parent)
        if complete:
            for seq, request in self._requests.items():
                if seq not in answered and not self._excused(request, accepted):
                    text = f"the user's {request.verb} of {request.parent_id} was never answered"
                    self._findings.add(1, "unanswered", text, request.witness)

    def _check_answer(
        self, parent: ParentHistory, seq: int, verb: str, witness: Witness, answered: dict[int, Witness]
    ) -> None:
        before = answered.setdefault(seq, witness)
        if before is not witness:
            text = f"the user's message {seq} was answered twice"
            self._findings.add(7, "answered_twice", text, before, witness)
        request = self._requests.get(seq)
        if request is None:
            if not self._truncated(ORDERS):
                text = f"answers the user's message {seq}, which is not there"
                self._findings.add(1, "request_missing", text, witness)
            return
        is_refusal = witness.subject.endswith(".rejected")
        if not is_refusal and (request.verb, request.parent_id) != (verb, parent.name):
            text = f"a {verb} of {parent.name} answers the {request.verb} of {request.parent_id}"
            self._findings.add(1, "answered_wrongly", text, request.witness, witness)

    def _check_accepted(self, parent: ParentHistory) -> None:
        accepted = parent.accepted
        request = self._requests.get(accepted.order_seq) if accepted is not None else None
        if accepted is not None and request is not None and not _says(request, accepted.order):
            order = accepted.order
            text = f"parent {parent.name}: accepted as {_show(order)}, the user wrote {request.body}"
            self._findings.add(3, "order_differs", text, request.witness, parent.accepted_witness)

    def _check_modified(self, parent: ParentHistory) -> None:
        """Only what was asked for may change."""
        for seq, (event, before, witness) in parent.modified.items():
            request = self._requests.get(seq)
            if request is None:
                continue
            qty = _decimal(request.body["qty"]) if request.body.get("qty") is not None else before.qty
            limit = request.body.get("limit_price")
            price = before.limit_price if limit is None else _decimal(limit)
            order = event.order
            if (order.qty, order.limit_price, *_fixed(order)) != (qty, price, *_fixed(before)):
                text = f"parent {parent.name}: modified to {_show(order)}, the user wrote {request.body}"
                self._findings.add(3, "order_differs", text, request.witness, witness)

    def _excused(self, request: _Request, accepted: Mapping[str, ParentHistory]) -> bool:
        """The same order sent again under its id is a retry, and needs no second answer."""
        if request.verb != "new":
            return self._truncated(SCHED)
        known = accepted.get(request.parent_id)
        order = known.accepted.order if known is not None and known.accepted is not None else None
        return order is not None and _says(request, order)


def _says(request: _Request, order: m.ParentOrder) -> bool:
    """Whether the user asked for this order."""
    body = request.body
    limit = body.get("limit_price")
    return (
        request.verb == "new"
        and (request.algo, request.symbol) == (token(order.algo), token(order.symbol))
        and body.get("side") == order.side
        and _decimal(body.get("qty")) == order.qty
        and (None if limit is None else _decimal(limit)) == order.limit_price
        and body.get("account", "default") == order.account
        and body.get("venues") == order.venues
    )


def _fixed(order: m.ParentOrder) -> tuple[Any, ...]:
    return order.symbol, order.side, order.algo, order.account, order.venues, order.strategy


def _show(order: m.ParentOrder) -> str:
    limit = "no limit" if order.limit_price is None else f"limit {order.limit_price}"
    return f"{order.side} {order.qty} {order.symbol} by {order.algo}, {limit}, account {order.account}"


def _decimal(value: object) -> Decimal | None:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return None
