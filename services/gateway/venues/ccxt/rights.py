"""What a key may do, as its exchange says. One question and one reading for each exchange that can be asked.

A key that may withdraw is never traded with: whoever gets hold of it takes everything, and no trade needs it.

binance   https://developers.binance.com/docs/wallet/account/api-key-permission
bybit     https://bybit-exchange.github.io/docs/v5/user/apikey-info
okx       https://www.okx.com/docs-v5/en/#trading-account-rest-api-get-account-configuration
kraken    https://docs.kraken.com/api-reference/account-data/get-api-key-info
coinbase  https://docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api/data-api/get-api-key-permissions
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import ccxt

from bestex.errors import Code


class Rights(NamedTuple):
    """`bound`: to addresses that the key may be used from. None: the exchange does not say."""

    trade: bool | None
    withdraw: bool | None
    bound: bool | None


class Problem(NamedTuple):
    code: Code
    text: str


def binance(said: Any, market_type: str) -> Rights:
    trade = "enableSpotAndMarginTrading" if market_type == "spot" else "enableFutures"
    return Rights(bool(said[trade]), bool(said["enableWithdrawals"]), bool(said["ipRestrict"]))


def bybit(said: Any, market_type: str) -> Rights:
    key = said["result"]
    may = {right for rights in key["permissions"].values() for right in rights or ()}
    trade = "SpotTrade" in may if market_type == "spot" else bool({"Order", "DerivativesTrade"} & may)
    addresses = [address for address in key["ips"] if address != "*"]
    return Rights(trade and not int(key["readOnly"]), "Withdraw" in may, bool(addresses))


def okx(said: Any, _market_type: str) -> Rights:
    account = said["data"][0]
    may = account["perm"].split(",")
    return Rights("trade" in may, "withdraw" in may, bool(account["ip"]))


def kraken(said: Any, _market_type: str) -> Rights:
    key = said["result"]
    may = key["permissions"]
    return Rights("modify-trades" in may, "withdraw-funds" in may, bool(key["ipAllowlist"]))


def coinbase(said: Any, _market_type: str) -> Rights:
    """`can_transfer` moves money out of the account; of addresses it says nothing."""
    return Rights(bool(said["can_trade"]), bool(said["can_transfer"]), None)


class Question(NamedTuple):
    """`method`: ccxt's, without parameters."""

    method: str
    read: Callable[[Any, str], Rights]


QUESTIONS = {
    "binance": Question("sapi_get_account_apirestrictions", binance),
    "binanceusdm": Question("sapi_get_account_apirestrictions", binance),
    "bybit": Question("private_get_v5_user_query_api", bybit),
    "okx": Question("private_get_account_config", okx),
    "kraken": Question("private_post_getapikeyinfo", kraken),
    "coinbase": Question("v3_private_get_brokerage_key_permissions", coinbase),
}


async def ask(exchange: Any, market_type: str) -> Rights | None:
    """None where the exchange, or its test net, has no such question. Raises what ccxt raises, and ExchangeError for
    an answer that cannot be read."""
    question = QUESTIONS.get(exchange.id)
    if question is None:
        return None
    try:
        said = await getattr(exchange, question.method)()
    except ccxt.NotSupported:
        return None
    try:
        return question.read(said, market_type)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        # Not `from error`, and not the answer: some exchanges repeat the key in it.
        raise ccxt.ExchangeError(f"the answer on the key's rights cannot be read: {error!r}") from None


def problems(rights: Rights) -> Iterator[Problem]:
    """Why nobody is to trade with such a key."""
    if rights.withdraw:
        text = "the key may withdraw; make one that may trade and read, and nothing else, and delete this one"
        yield Problem(Code.KEY_MAY_WITHDRAW, text)
    if rights.trade is False:
        text = "the key may not trade in these markets; give it that right at the venue"
        yield Problem(Code.KEY_MAY_NOT_TRADE, text)
