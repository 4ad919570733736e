"""What users wrote, made strict: a typed request, or a refusal with a code and a sentence. Never an exception."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from bestex import codec, ids
from bestex.clock import Time
from bestex.config import Config
from bestex.contained import PluginFailed, asked
from bestex.core import RawOrder
from bestex.errors import Code
from bestex.instruments import Instrument
from bestex.messages import ModifyOrder, ParentOrder, ParentRejected
from bestex.subjects import ORDER_VERBS
from bestex.units import UnitError
from services.scheduler import conditions
from services.scheduler.algos.base import Params

BODY_BYTES_MAX = 65_536  # far above any order, far below what would hold up the others
TEXT_CHARS_MAX = 400  # of a refusal's sentence: what a user sent is quoted in it


class Refused(Exception):
    """Carries the refusal out of nested checks; never leaves this module."""

    def __init__(self, code: Code, text: str, error: Exception | None = None) -> None:
        self.code = code
        self.text = text[:TEXT_CHARS_MAX]
        self.error = error

    @classmethod
    def by(cls, failed: PluginFailed) -> Refused:
        return cls(Code.ALGO_FAILED, failed.text, failed.error)


@dataclass(frozen=True, slots=True)
class Request:
    """A request that is well formed. For `new`, `message` is the order completed from its subject."""

    verb: str
    algo: str
    symbol: str
    parent_id: str
    seq: int
    message: Any
    instrument: Instrument | None = None
    params: Params | None = None

    def refused(self, why: Refused) -> Refusal:
        return Refusal(
            self.verb, self.algo, self.symbol, self.parent_id, self.seq, why.code, why.text, why.error
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """`error`: what came out of the algorithm, where that is why."""

    verb: str
    algo: str
    symbol: str
    parent_id: str
    seq: int
    code: Code
    text: str
    error: Exception | None = None

    def event(self, base: dict[str, Any] | None, now_ns: int) -> ParentRejected:
        """`base`: where the parent stands that the request was for; None where there is none."""
        if base is None:
            nothing = {"cum_qty": Decimal(0), "leaves_qty": Decimal(0), "avg_px": None}
            base = {"symbol": self.symbol, "parent_id": self.parent_id, "at": Time(now_ns), **nothing}
        what: dict[str, Any] = {"code": self.code, "text": self.text, "request": self.verb}
        return ParentRejected(**base, **what, order_seq=self.seq)


class Intake:
    """Knows what may be named: instruments, algorithms, strategies, venues."""

    def __init__(
        self, config: Config, algos: Mapping[str, type[Params]], strategies: Mapping[str, type[Any]]
    ) -> None:
        self.config = config
        self.instruments = config.make_instruments()
        self.algos = algos
        self.strategies = strategies

    def parse(self, raw: RawOrder, now_ns: int) -> Request | Refusal:
        """The request in `raw`, or why it is none."""
        tokens = raw.subject.split(".")
        verb, algo, symbol = [*tokens[3:6], "", "", ""][:3]
        given_id = tokens[6] if len(tokens) > 6 else ""
        parent_id = given_id if ids.is_parent_id(given_id) else ids.parent_id_of_message(raw.seq)
        instrument = self.instruments.get(symbol)
        name = instrument.symbol if instrument else symbol
        try:
            if verb not in ORDER_VERBS or len(tokens) != (6 if verb == "new" else 7):
                raise Refused(
                    Code.MALFORMED,
                    f"{raw.subject} is no order subject; publish on "
                    "bestex.v1.order.new.<algo>.<symbol> or bestex.v1.order.<verb>.<algo>.<symbol>.<parent_id>",
                )
            body = _read_json(raw.data)
            if verb == "new" and isinstance(body.get("parent_id"), str) and body["parent_id"]:
                given_id = body["parent_id"]
                if not ids.is_parent_id(given_id):
                    raise Refused(Code.INVALID_ID, "a parent_id is 1 to 32 of A-Z, a-z, 0-9, _ and -")
                parent_id = given_id
            elif verb != "new" and parent_id != given_id:
                raise Refused(Code.INVALID_ID, "a parent_id is 1 to 32 of A-Z, a-z, 0-9, _ and -")
            message = _typed(body, ORDER_VERBS[verb])
            if message.expires_at is not None and message.expires_at <= now_ns:
                raise Refused(Code.EXPIRED, f"the request was good until {message.expires_at}")
            if verb != "new":
                return Request(verb, algo, name, parent_id, raw.seq, message)
            return self._new(raw.seq, algo, symbol, parent_id, instrument, message, now_ns)
        except Refused as refused:
            return Refusal(verb, algo, name, parent_id, raw.seq, refused.code, refused.text)
        except PluginFailed as failed:
            why = Refused.by(failed)
            return Refusal(verb, algo, name, parent_id, raw.seq, why.code, why.text, why.error)

    def _new(
        self,
        seq: int,
        algo: str,
        symbol: str,
        parent_id: str,
        instrument: Instrument | None,
        order: ParentOrder,
        now_ns: int,
    ) -> Request:
        if order.algo and ids.token(order.algo) != algo:
            raise Refused(Code.SUBJECT_MISMATCH, f"the body says algo {order.algo}, the subject {algo}")
        if algo not in self.algos:
            raise Refused(Code.UNKNOWN_ALGO, f"there is no algo {algo}; there are {', '.join(self.algos)}")
        if order.symbol and ids.token(order.symbol) != symbol:
            raise Refused(Code.SUBJECT_MISMATCH, f"the body says symbol {order.symbol}, the subject {symbol}")
        if instrument is None:
            known = ", ".join(self.instruments.by_symbol)
            raise Refused(
                Code.UNKNOWN_SYMBOL, f"there is no symbol {order.symbol or symbol}; there are {known}"
            )
        order = msgspec.structs.replace(order, symbol=instrument.symbol, algo=algo, parent_id=parent_id)
        params = self.check(order, instrument)
        self.check_conditions(order, instrument, now_ns)
        return Request("new", algo, instrument.symbol, parent_id, seq, order, instrument, params)

    def check(self, order: ParentOrder, instrument: Instrument) -> Params:
        """The order's typed parameters. Raises Refused where any value is out of its range."""
        self._qty(order.qty, instrument)
        if order.limit_price is not None:
            self._price(order.limit_price, instrument)
        for venue in order.venues or ():
            if instrument.listing(venue) is None:
                listed = ", ".join(listing.venue for listing in instrument.listings)
                raise Refused(Code.UNKNOWN_VENUE, f"{venue} does not trade {instrument.symbol}; {listed} do")
        if order.venues is not None and not order.venues:
            raise Refused(Code.UNKNOWN_VENUE, "venues is empty; leave it out to use all")
        strategy = order.strategy or self.config.execution.default_strategy
        if strategy not in self.strategies:
            raise Refused(
                Code.UNKNOWN_STRATEGY,
                f"there is no strategy {strategy}; there are {', '.join(self.strategies)}",
            )
        defaults = self.config.strategies.get(strategy, {})
        _typed({**defaults, **order.strategy_params}, self.strategies[strategy], Code.INVALID_PARAMETER)
        kind = self.algos[order.algo]
        given = {**self.config.algos.get(order.algo, {}), **order.params}
        params: Params = asked(kind, _typed, given, kind, Code.INVALID_PARAMETER, passes=(Refused,))
        if params.needs_limit and order.limit_price is None:
            raise Refused(Code.MISSING_PARAMETER, f"{order.algo} needs a limit_price")
        problem = asked(params, params.problem, gives=str)
        if params.would_price is not None and not problem:
            self._price(params.would_price, instrument, "would_price")
        if problem:
            raise Refused(Code.INVALID_PARAMETER, problem)
        return params

    def check_conditions(self, order: ParentOrder, instrument: Instrument, now_ns: int) -> None:
        """The prices that the order waits for, and what it would do otherwise. Raises Refused."""
        other = order.otherwise
        if other is not None:
            if other.algo not in self.algos:
                known = ", ".join(self.algos)
                raise Refused(
                    Code.UNKNOWN_ALGO, f"otherwise: there is no algo {other.algo}; there are {known}"
                )
            worked = msgspec.structs.replace(
                order, algo=other.algo, params=other.params, limit_price=other.limit_price
            )
            try:
                self.check(worked, instrument)
            except Refused as refused:
                raise Refused(refused.code, f"otherwise: {refused.text}") from None
        triggers = [("", order.trigger)] if order.trigger is not None else []
        for where, trigger in [*triggers, *([("otherwise: ", other.trigger)] if other is not None else [])]:
            wrong = conditions.problem(trigger, now_ns + self.config.bus.max_age)
            if wrong:
                raise Refused(Code.INVALID_PARAMETER, where + wrong)
            if trigger.until is not None and trigger.until <= now_ns:
                raise Refused(Code.EXPIRED, f"{where}trigger.until {trigger.until} has passed")
            for name in ("price", "trail"):
                if (price := getattr(trigger, name)) is not None:
                    self._price(price, instrument, f"{where}trigger.{name}")

    def modified(
        self, order: ParentOrder, change: ModifyOrder, instrument: Instrument, algo: str
    ) -> tuple[ParentOrder, Params]:
        """The order after the change, checked like a new one. `algo`: whose parameters they are. Raises Refused."""
        order = msgspec.structs.replace(
            order,
            qty=order.qty if change.qty is None else change.qty,
            limit_price=order.limit_price if change.limit_price is None else change.limit_price,
            params={**order.params, **change.params},
            strategy_params={**order.strategy_params, **change.strategy_params},
        )
        return order, self.check(msgspec.structs.replace(order, algo=algo), instrument)

    def _qty(self, qty: Decimal, instrument: Instrument) -> None:
        if not qty.is_finite():
            raise Refused(Code.NOT_FINITE, f"qty {qty} is not a finite number")
        if qty <= 0:
            raise Refused(Code.INVALID_QTY, f"qty {qty} must be above zero")
        lot = instrument.qty(instrument.lot)
        try:
            units = instrument.qty_units(qty)
        except UnitError:
            units = -1
        if units % instrument.lot or units < 0:
            raise Refused(Code.OFF_LOT, f"qty {qty} is not a multiple of the lot {lot}")
        if units < instrument.min_qty:
            raise Refused(
                Code.BELOW_MINIMUM,
                f"qty {qty} is below the minimum {instrument.qty(instrument.min_qty)}",
            )
        most = self.config.limits.of_order(instrument.symbol).max_order_qty
        if most is not None and qty > most:
            raise Refused(Code.LIMIT_EXCEEDED, f"qty {qty} is above limits.max_order_qty {most}")

    def _price(self, price: Decimal, instrument: Instrument, name: str = "limit_price") -> None:
        if not price.is_finite():
            raise Refused(Code.NOT_FINITE, f"{name} {price} is not a finite number")
        if price <= 0:
            raise Refused(Code.INVALID_PRICE, f"{name} {price} must be above zero")
        try:
            instrument.price_units(price)
        except UnitError:
            raise Refused(Code.OFF_TICK, f"{name} {price} is finer than {instrument.price(1)}") from None

    def check_value(self, order: ParentOrder, instrument: Instrument, double_mid: int | None) -> bool:
        """The order's value, at its limit or the mid (given in half price units), within the limits and above
        what some venue takes; else Refused. False where a limit is set and there is no price to value it at yet."""
        most = self.config.limits.of_order(instrument.symbol).max_order_value
        price = None if double_mid is None else double_mid // 2
        if order.limit_price is not None:
            price = instrument.price_units(order.limit_price)
        if price is None:
            return most is None
        qty = instrument.qty_units(order.qty)
        if most is not None and instrument.cash(qty * price) > most:
            raise Refused(Code.LIMIT_EXCEEDED, f"the order's value is above limits.max_order_value {most}")
        if instrument.is_dust(qty, price, order.venues):
            raise Refused(Code.BELOW_MINIMUM, f"qty {order.qty} is worth less than any of its venues takes")
        return True


def _read_json(data: bytes) -> dict[str, Any]:
    """The body as a dict of decimals and texts; Refused where it is no JSON object with distinct keys."""
    if len(data) > BODY_BYTES_MAX:
        raise Refused(Code.MALFORMED, f"the body has {len(data)} bytes; {BODY_BYTES_MAX} is the most")
    if not data.strip():
        return {}
    try:
        body = json.loads(data, object_pairs_hook=_distinct, parse_float=Decimal, parse_constant=_constant)
    except RecursionError:
        raise Refused(Code.MALFORMED, "the body is nested too deeply") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise Refused(Code.MALFORMED, f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise Refused(Code.MALFORMED, "the body must be a JSON object")
    return body


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    body = dict(pairs)
    if len(body) != len(pairs):
        raise Refused(Code.MALFORMED, "a key stands twice in the body")
    return body


def _constant(name: str) -> Any:
    raise Refused(Code.NOT_FINITE, f"{name} is not a finite number")


def _typed(body: dict[str, Any], kind: type[Any], otherwise: Code = Code.WRONG_TYPE) -> Any:
    """`body` as a `kind`; Refused with the code that fits msgspec's complaint."""
    try:
        return codec.convert(body, kind, strict=otherwise is Code.WRONG_TYPE)
    except (msgspec.ValidationError, ValueError) as error:
        text = str(error)
    except RecursionError:
        raise Refused(Code.MALFORMED, "the body is nested too deeply") from None
    what, found, path = text.partition(" - at `$.")
    where = f" ({path.rstrip('`')})" if found else ""
    if "unknown field" in what:
        known = ", ".join(kind.__struct_fields__)
        raise Refused(Code.UNKNOWN_FIELD, f"{what}{where}; there are {known}")
    if "missing required field" in what:
        raise Refused(Code.MISSING_PARAMETER, f"{what}{where}")
    raise Refused(otherwise, f"{what}{where}")
