"""What Coinbase does for the owner of a key: orders, their history, the account."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from bestex import sim_wire as w
from bestex.clock import SECOND
from tests.emulators import coinbase_orders as orders
from tests.emulators import coinbase_wire as wire
from tests.emulators.coinbase_orders import Bad, NotDone, Refused
from tests.emulators.coinbase_rest import Act, CoinbaseRest
from tests.emulators.coinbase_wire import Json
from tests.emulators.faults import What
from tests.emulators.server import Key
from tests.emulators.unified import text

PAGES = {"orders": 1_000, "fills": 1_000, "accounts": 250}  # at most
USUAL_PAGES = {"orders": 100, "fills": 100, "accounts": 49}
NO_REASON = "UNKNOWN_CANCEL_FAILURE_REASON"


class CoinbaseAccount(CoinbaseRest):
    def private(self) -> list[tuple[str, str, What, Act]]:
        return [
            ("GET", "products", "other", lambda _, given: self._products(given)),
            ("GET", "products/{product_id}", "other", lambda _, given: self._product(given)),
            ("GET", "products/{product_id}/ticker", "other", lambda _, given: self._ticker(given)),
            ("GET", "product_book", "other", lambda _, given: self._book(given)),
            ("POST", "orders", "new", self._add),
            ("POST", "orders/batch_cancel", "cancel", self._cancel),
            ("POST", "orders/edit", "amend", self._edit),
            ("GET", "orders/historical/batch", "list", self._orders),
            ("GET", "orders/historical/fills", "list", self._fills),
            ("GET", "orders/historical/{order_id}", "query", self._order),
            ("GET", "accounts", "list", self._accounts),
            ("GET", "transaction_summary", "other", self._summary),
            ("GET", "key_permissions", "other", self._permissions),
        ]

    # -- orders ------------------------------------------------------------------------------------------------

    def _add(self, key: Key, given: Json) -> Json:
        head: Json = {"order_configuration": given.get("order_configuration")}
        try:
            made = orders.place(self.engine, key.account, given)
        except Refused as refused:
            error = {
                "error": refused.reason,
                "message": refused.text,
                "error_details": "",
                "preview_failure_reason": refused.preview,
                "new_order_failure_reason": refused.reason,
            }
            failed = {"success": False, "failure_reason": orders.UNKNOWN, "order_id": ""}
            return {**failed, "error_response": error, **head}
        market = self.engine.markets[made.symbol]
        done = {
            "order_id": wire.order_id(made.order_id),
            "product_id": wire.product_id(market),
            "side": given.get("side", ""),
            "client_order_id": given["client_order_id"],
        }
        head = {"success": True, "failure_reason": orders.UNKNOWN, "order_id": done["order_id"]} | head
        return {**head, "success_response": done}

    def _cancel(self, key: Key, given: Json) -> Json:
        results = []
        for name in given.get("order_ids", []):
            reason = ""
            try:
                orders.cancel(self.engine, key.account, str(name))
            except NotDone as not_done:
                reason = str(not_done)
            results.append({"success": not reason, "failure_reason": reason or NO_REASON, "order_id": name})
        return {"results": results}

    def _edit(self, key: Key, given: Json) -> Json:
        before = orders.find(self.engine, key.account, str(given.get("order_id", "")))
        try:
            orders.edit(self.engine, key.account, given)
        except NotDone as not_done:
            why = {
                "edit_failure_reason": str(not_done),
                "preview_failure_reason": "UNKNOWN_PREVIEW_FAILURE_REASON",
            }
            return {"success": False, "errors": [why]}
        assert before is not None
        market = self.engine.markets[before.symbol]
        self.originals.setdefault(before.order_id, wire.configuration(market, before))
        after = orders.find(self.engine, key.account, str(given["order_id"]))
        assert after is not None
        terms = {"price": text(market.price(after.price)), "size": text(market.qty(after.qty))}
        edit = {**terms, "replace_accept_timestamp": wire.stamp(self.now_ns())}
        self.edits.setdefault(before.order_id, []).append(edit)
        return {"success": True, "errors": []}

    # -- queries -----------------------------------------------------------------------------------------------

    def order(self, found: w.OrderState) -> Json:
        edits = self.edits.get(found.order_id, [])[-5:]
        return wire.order(self.engine, found, self.originals.get(found.order_id), edits)

    def _order(self, key: Key, given: Json) -> Json:
        found = orders.find(self.engine, key.account, given["order_id"])
        if found is None:
            raise Bad(404, "NOT_FOUND", "order with this orderID was not found")
        return {"order": self.order(found)}

    def _page(self, rows: list[Any], given: Json, kind: str) -> tuple[list[Any], Json]:
        """`cursor` is how many are left: rows join at the front alone, so that none is told twice."""
        limit = min(int(_one(given, "limit") or USUAL_PAGES[kind]), PAGES[kind])
        cursor = _one(given, "cursor")
        start = len(rows) - int(cursor) if cursor.isdigit() else 0
        page = rows[start : start + limit]
        left = len(rows) - start - len(page)
        return page, {"has_next": left > 0, "cursor": str(left) if left > 0 else ""}

    def _orders(self, key: Key, given: Json) -> Json:
        """Newest first."""
        products, states = _all(given, "product_ids", "product_id"), _all(given, "order_status")
        wanted, start_ns, end_ns = (
            _all(given, "order_ids"),
            _moment(given, "start_date"),
            _moment(given, "end_date"),
        )
        found = [
            one
            for one in reversed(self.engine.orders(key.account))
            if one.state is not w.State.REJECTED
            and (not products or wire.product_id(self.engine.markets[one.symbol]) in products)
            and (not states or wire.status_of(one) in states)
            and (not wanted or wire.order_id(one.order_id) in wanted)
            and one.created_ns >= start_ns
            and (not end_ns or one.created_ns < end_ns)
        ]
        page, more = self._page(found, given, "orders")
        return {"orders": [self.order(one) for one in page], "sequence": "0", **more}

    def _fills(self, key: Key, given: Json) -> Json:
        """Newest first."""
        products, wanted = _all(given, "product_ids", "product_id"), _all(given, "order_ids", "order_id")
        start_ns, end_ns = (_moment(given, f"{name}_sequence_timestamp") for name in ("start", "end"))
        found = [
            one
            for one in reversed(self.engine.trades(key.account, limit=1_000_000))
            if (not products or wire.product_id(self.engine.markets[one.symbol]) in products)
            and (not wanted or wire.order_id(one.order_id) in wanted)
            and one.at_ns >= start_ns
            and (not end_ns or one.at_ns < end_ns)
        ]
        page, more = self._page(found, given, "fills")
        return {"fills": [wire.fill(self.engine, one) for one in page], "cursor": more["cursor"]}

    def _accounts(self, key: Key, given: Json) -> Json:
        names = {name for market in self.engine.markets.values() for name in (market.base, market.quote)}
        held = self.engine.holdings(key.account)
        rows = [
            wire.account(name, *held.get(name, (Decimal(0), Decimal(0))), place)
            for place, name in enumerate(sorted(names | set(held)))
        ]
        page, more = self._page(rows, given, "accounts")
        return {"accounts": page, **more, "size": len(page)}

    def _summary(self, _: Key, __: Json) -> Json:
        listing = next(iter(self.engine.markets.values())).listing
        taker, maker = (text(Decimal(fee).scaleb(-8)) for fee in (listing.taker_fee_e8, listing.maker_fee_e8))
        tier = {"pricing_tier": "Advanced 1", "usd_from": "0", "usd_to": "1000", "aop_from": "", "aop_to": ""}
        tier |= {"taker_fee_rate": taker, "maker_fee_rate": maker}
        return {
            "total_volume": 0,
            "total_fees": 0,
            "fee_tier": tier,
            "margin_rate": None,
            "total_balance": "",
        }

    def _permissions(self, key: Key, _: Json) -> Json:
        rights = {"can_view": True, "can_trade": key.can_trade, "can_transfer": key.can_withdraw}
        return {**rights, "portfolio_uuid": wire.uuid_of(4, 1), "portfolio_type": "DEFAULT"}


def _all(given: Json, *names: str) -> set[str]:
    found: set[str] = set()
    for name in names:
        value = given.get(name, [])
        found |= {value} if isinstance(value, str) else set(value)
    return found


def _one(given: Json, name: str) -> str:
    return str(given.get(name) or "")


def _moment(given: Json, name: str) -> int:
    if not given.get(name):
        return 0
    try:
        return int(datetime.fromisoformat(_one(given, name).replace("Z", "+00:00")).timestamp() * SECOND)
    except ValueError:
        raise Bad(400, "INVALID_ARGUMENT", f"{name} is no time") from None
