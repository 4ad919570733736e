"""What Kraken does for the owner of a key: orders, their history, the account."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from bestex import sim_wire as w
from bestex.clock import SECOND
from tests.emulators import kraken_orders as orders
from tests.emulators import kraken_wire as wire
from tests.emulators.engine import given_id
from tests.emulators.faults import What
from tests.emulators.kraken_orders import Refused, invalid
from tests.emulators.kraken_rest import Act, KrakenRest
from tests.emulators.kraken_wire import Json
from tests.emulators.server import Key

PAGE = 50
TOKEN_S = 900
RIGHTS = ("query-funds", "query-open-trades", "query-closed-trades")
TRADING_RIGHTS = ("modify-trades", "close-trades")


class KrakenAccount(KrakenRest):
    def private(self) -> dict[str, tuple[What, Act]]:
        return {
            "AddOrder": ("new", self.add),
            "AmendOrder": ("amend", self.amend),
            "EditOrder": ("amend", self.edit),
            "CancelOrder": ("cancel", self.cancel),
            "CancelAll": ("cancel", self.cancel_all),
            "CancelAllOrdersAfter": ("other", self.set_switch),
            "OpenOrders": ("list", self._open_orders),
            "ClosedOrders": ("list", self._closed_orders),
            "QueryOrders": ("query", self._query_orders),
            "TradesHistory": ("list", self._history),
            "QueryTrades": ("query", self._query_trades),
            "Balance": (
                "list",
                lambda key, _: {one: said["balance"] for one, said in self._held(key).items()},
            ),
            "BalanceEx": ("list", lambda key, _: self._held(key)),
            "TradeVolume": ("other", self._volume),
            "GetWebSocketsToken": ("other", self._token),
            "GetApiKeyInfo": ("other", self._key_info),
        }

    # -- orders ------------------------------------------------------------------------------------------------

    def add(self, key: Key, given: Json) -> Json:
        market = orders.find_market(self.engine, str(given.get("pair", "")))
        self.count_order(key.account, market.symbol, "add")
        made = orders.place(self.engine, key.account, given, self.now_ns())
        if isinstance(made, str):
            return {"descr": {"order": made}}
        if given.get("userref"):
            self.userrefs[made.order_id] = int(given["userref"])
        return {"descr": {"order": wire.described(market, made)}, "txid": [wire.order_id(made.order_id)]}

    def amend(self, key: Key, given: Json) -> Json:
        found = orders.find(self.engine, key.account, given)
        self.count_order(key.account, found.symbol, "amend", found)
        orders.amend(self.engine, key.account, given, self.now_ns())
        return {"amend_id": "T" + wire.order_id(found.order_id)[1:]}

    def edit(self, key: Key, given: Json) -> Json:
        found = orders.find(self.engine, key.account, given)
        self.count_order(key.account, found.symbol, "edit", found)
        old, new = orders.edit(self.engine, key.account, given, self.now_ns())
        market = self.engine.markets[new.symbol]
        return {
            "status": "ok",
            "txid": wire.order_id(new.order_id),
            "originaltxid": wire.order_id(old.order_id),
            "volume": wire.volume(market.qty(new.qty)),
            "price": wire.price_text(market, market.price(new.price)),
            "orders_cancelled": 1,
            "descr": {"order": wire.described(market, new)},
        }

    def cancel(self, key: Key, given: Json) -> Json:
        wanted = str(given.get("txid", ""))
        if wanted.lstrip("-").isdigit():  # a reference, that several may have
            named = [
                one
                for one in self.engine.open_orders(key.account)
                if self.userrefs.get(one.order_id) == int(wanted)
            ]
            if not named:
                raise Refused("EOrder:Unknown order")
        else:
            named = [orders.find(self.engine, key.account, given)]
        for found in named:
            self.count_order(key.account, found.symbol, "cancel", found)
            self.engine.cancel(found)
        return {"count": len(named)}

    def cancel_all(self, key: Key, _: Json) -> Json:
        return {"count": len(self.engine.cancel_all(key.account))}

    def set_switch(self, key: Key, given: Json) -> Json:
        timeout = str(given.get("timeout", ""))
        if not timeout.isdigit() or int(timeout) > 86_400:
            raise invalid("timeout")
        self.engine.cancel_all_after(key.account, int(timeout) * SECOND)
        now_ns = self.now_ns()
        trigger = wire.stamp(now_ns + int(timeout) * SECOND) if int(timeout) else "0"
        return {"currentTime": wire.stamp(now_ns), "triggerTime": trigger}

    # -- queries -----------------------------------------------------------------------------------------------

    def order(self, found: w.OrderState, given: Json) -> Json:
        with_trades = str(given.get("trades", "false")).lower() == "true"
        return wire.order(self.engine, found, self.userrefs.get(found.order_id), trades=with_trades)

    def _wanted(self, states: Iterable[w.OrderState], given: Json) -> list[w.OrderState]:
        """Newest first."""
        name, reference = str(given.get("cl_ord_id") or ""), given.get("userref")
        return [
            one
            for one in reversed(list(states))
            if one.state is not w.State.REJECTED
            and (not name or given_id(one) == name)
            and (not reference or self.userrefs.get(one.order_id) == int(reference))
        ]

    def _open_orders(self, key: Key, given: Json) -> Json:
        found = self._wanted(self.engine.open_orders(key.account), given)
        return {"open": {wire.order_id(one.order_id): self.order(one, given) for one in found}}

    def _closed_orders(self, key: Key, given: Json) -> Json:
        start_ns, end_ns = (self._moment(given, name) for name in ("start", "end"))
        ended = [one for one in self.engine.orders(key.account) if one.state is not w.State.OPEN]
        found = [
            one
            for one in self._wanted(ended, given)
            if one.updated_ns > start_ns and (not end_ns or one.created_ns <= end_ns)
        ]
        offset = int(given.get("ofs", 0))
        page = found[offset : offset + PAGE]
        said: Json = {"closed": {wire.order_id(one.order_id): self.order(one, given) for one in page}}
        return said if given.get("without_count") == "true" else said | {"count": len(found)}

    def _moment(self, given: Json, name: str) -> int:
        text = str(given.get(name) or "0")
        try:
            return int(Decimal(text) * SECOND)
        except ArithmeticError:
            raise invalid(name) from None

    def _query_orders(self, key: Key, given: Json) -> Json:
        names = [one for one in str(given.get("txid", "")).split(",") if one]
        if not names or len(names) > PAGE:
            raise invalid("txid")
        said: Json = {}
        for name in names:
            number = wire.order_number(name)
            found = self.engine.order(key.account, order_id=number) if number else None
            if found is None or found.state is w.State.REJECTED:
                raise Refused("EOrder:Invalid order")
            if not given.get("userref") or self.userrefs.get(number) == int(given["userref"]):
                said[name] = self.order(found, given)
        return said

    def _history(self, key: Key, given: Json) -> Json:
        """Newest first; what one taker traded is one, unless it is asked for by itself."""
        start_ns, end_ns = (self._moment(given, name) for name in ("start", "end"))
        own = [
            one
            for one in reversed(self.engine.trades(key.account, limit=1_000_000))
            if one.at_ns > start_ns and (not end_ns or one.at_ns <= end_ns)
        ]
        rows = {wire.trade_id(one): wire.fill(self.engine, one) for one in own}
        if str(given.get("consolidate_taker", "true")).lower() != "false":
            rows = _consolidated(rows)
        offset = int(given.get("ofs", 0))
        page = list(rows.items())[offset : offset + PAGE]
        return {"trades": dict(page), "count": len(rows)}

    def _query_trades(self, key: Key, given: Json) -> Json:
        wanted = [one for one in str(given.get("txid", "")).split(",") if one]
        own = {wire.trade_id(one): one for one in self.engine.trades(key.account, limit=1_000_000)}
        if not wanted or not set(wanted) <= set(own):
            raise invalid("txid")
        return {name: wire.fill(self.engine, own[name]) for name in wanted}

    def _held(self, key: Key) -> Json:
        return {
            wire.asset(name): {
                "balance": wire.fixed(free + locked, wire.ASSET_PLACES),
                "hold_trade": wire.fixed(locked, wire.ASSET_PLACES),
            }
            for name, (free, locked) in self.engine.holdings(key.account).items()
        }

    def _volume(self, _: Key, given: Json) -> Json:
        said: Json = {"currency": "ZUSD", "volume": "0.0000"}
        if given.get("pair"):
            markets = self._markets(given)
            said["fees"] = {wire.pair_id(one): wire.fee_tier(one.listing.taker_fee_e8) for one in markets}
            said["fees_maker"] = {
                wire.pair_id(one): wire.fee_tier(one.listing.maker_fee_e8) for one in markets
            }
        return said

    def _token(self, key: Key, _: Json) -> Json:
        token = secrets.token_urlsafe(32)
        self.tokens[token] = (key, self.now_ns() + TOKEN_S * SECOND)
        return {"token": token, "expires": TOKEN_S}

    def key_of(self, token: Any) -> Key:
        key, until_ns = self.tokens.get(str(token), (None, 0))
        if key is None or self.now_ns() > until_ns:
            raise Refused("ESession:Invalid session")
        return key

    def _key_info(self, key: Key, _: Json) -> Json:
        rights = [*RIGHTS, *(TRADING_RIGHTS * key.can_trade), *(("withdraw-funds",) * key.can_withdraw)]
        return {
            "apiKeyName": "emulated",
            "apiKey": key.key,
            "nonce": str(max(self.nonces.get(key.key, {0}))),
            "nonceWindow": self.nonce_window,
            "permissions": rights,
            "iban": "AA00 N84G 0000 0000",
            "validUntil": "0",
            "queryFrom": "0",
            "queryTo": "0",
            "ipAllowlist": ["127.0.0.1"] if key.bound else [],
        }


def _consolidated(rows: Json) -> Json:
    """The trades of one taker order at one moment as one, under the name of the last."""
    made: Json = {}
    whole: dict[tuple[str, float], str] = {}
    for name, row in rows.items():
        known = None if row["maker"] else whole.get((row["ordertxid"], row["time"]))
        if known is None:
            whole[row["ordertxid"], row["time"]] = name
            made[name] = dict(row)
            continue
        one = made[known]
        vol, value, fee = (Decimal(one[part]) + Decimal(row[part]) for part in ("vol", "cost", "fee"))
        made[known] = one | {"vol": wire.volume(vol), "cost": wire.cost(value), "fee": wire.cost(fee)}
        made[known]["price"] = wire.cost(value / vol)
    return made
