"""What a failed request proves, and what it does not."""

from __future__ import annotations

import aiohttp
import ccxt
import pytest

from bestex.errors import Code
from services.gateway.venues.ccxt import outcomes
from services.gateway.venues.ccxt.line import Broken, NotConnected
from services.gateway.venues.ccxt.quirks import quirk_of
from services.gateway.venues.ccxt.quirks.base import Closure

BINANCE, PERP, BYBIT, OKX = (
    quirk_of("binance", "spot"),
    quirk_of("binanceusdm", "swap"),
    quirk_of("bybit", "spot"),
    quirk_of("okx", "spot"),
)
PLAIN = quirk_of("an exchange of which nothing is known", "spot")
NOW_MS = 1_700_000_000_000


def caused_by(cause: BaseException) -> Exception:
    error: Exception = ccxt.ExchangeNotAvailable("gone")
    error.__cause__ = cause
    return error


def refused_connection() -> aiohttp.ClientConnectorError:
    return aiohttp.ClientConnectorError(None, OSError(111, "refused"))  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [caused_by(refused_connection()), NotConnected("down")])
def test_what_met_no_connection_never_left(error: Exception) -> None:
    assert outcomes.never_left(error)


@pytest.mark.parametrize(
    "error",
    [
        caused_by(aiohttp.ServerDisconnectedError()),
        caused_by(ConnectionResetError()),
        ccxt.RequestTimeout("late"),
        ccxt.ExchangeNotAvailable("503"),
        Broken("while it was under way"),
        ccxt.NetworkError("whatever"),
        ValueError("a bug of ours"),
    ],
)
def test_all_else_may_have_left_and_is_no_refusal(error: Exception) -> None:
    assert not outcomes.never_left(error)
    for quirk in (BINANCE, PERP, BYBIT, OKX, PLAIN):
        assert quirk.refused(error) is None


def test_only_a_code_of_the_venues_own_list_is_a_refusal() -> None:
    listed = ccxt.ExchangeError('okx {"code":"1","data":[{"sCode":"51008","sMsg":"no"}]}')
    assert OKX.refused(listed) is Code.INSUFFICIENT_FUNDS
    assert OKX.refused(ccxt.InsufficientFunds('okx {"code":"1","data":[{"sCode":"59999"}]}')) is None
    assert BYBIT.refused(ccxt.InvalidOrder('bybit {"retCode":10016,"retMsg":"Server error."}')) is None


def test_without_a_list_only_classes_that_say_it_for_certain_count() -> None:
    assert PLAIN.refused(ccxt.InsufficientFunds("no")) is Code.INSUFFICIENT_FUNDS
    assert PLAIN.refused(ccxt.BadSymbol("no")) is Code.UNKNOWN_SYMBOL
    assert PLAIN.refused(ccxt.PermissionDenied("no")) is Code.VENUE_REJECTED
    for doubtful in (ccxt.InvalidOrder, ccxt.RateLimitExceeded, ccxt.ExchangeError, ccxt.OnMaintenance):
        assert PLAIN.refused(doubtful("no")) is None


def test_a_refusal_for_its_moment_is_told_from_one_for_what_it_asks() -> None:
    passing = ccxt.RateLimitExceeded('bybit {"retCode":10006,"retMsg":"Too many visits."}')
    assert BYBIT.refused(passing) in outcomes.PASSING
    late = ccxt.InvalidNonce('binance {"code":-1021,"msg":"Timestamp"}')
    assert BINANCE.refused(late) in outcomes.PASSING
    assert BINANCE.is_off_time(late)
    assert BINANCE.refused(ccxt.InsufficientFunds("binance no balance")) not in outcomes.PASSING


def test_what_a_venue_says_is_one_line_and_not_too_long() -> None:
    text = outcomes.text_of(ccxt.ExchangeError("<html>\n" + "x" * 1_000))
    assert "\n" not in text
    assert len(text) == outcomes.TEXT_MAX + 3


# -- what a word of too much closes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quirk", "error", "headers", "closed"),
    [
        (BINANCE, ccxt.DDoSProtection('429 {"code":-1003}'), {"Retry-After": "7"}, (("address",), 7_000)),
        (BINANCE, ccxt.DDoSProtection('429 {"code":-1003}'), {}, (("address",), 60_000)),
        (
            BINANCE,
            ccxt.DDoSProtection(f'418 {{"code":-1003,"msg":"IP banned until {NOW_MS + 90_000}."}}'),
            {},
            (("address",), 90_000),
        ),
        (
            PERP,
            ccxt.DDoSProtection(f'{{"code": -1003, "data": {{"retryAfter": {NOW_MS + 5_000}}}}}'),
            {},
            (("address",), 5_000),
        ),
        (BINANCE, ccxt.RateLimitExceeded('{"code":-1015,"msg":"orders"}'), {}, (("orders",), 10_000)),
        (BYBIT, ccxt.RateLimitExceeded('{"retCode":10006}'), {}, ((), 1_000)),
        (BYBIT, ccxt.RateLimitExceeded('{"retCode":10018}'), {}, (("address",), 5_000)),
        (BYBIT, ccxt.ExchangeNotAvailable("403 access too frequent"), {}, (("address",), 600_000)),
        (OKX, ccxt.RateLimitExceeded('{"code":"50011"}'), {}, ((), 2_000)),
        (OKX, ccxt.RateLimitExceeded('{"code":"50061"}'), {}, (("orders",), 2_000)),
        (PLAIN, ccxt.RateLimitExceeded("429"), {"retry-after": "3"}, ((), 3_000)),
        (PLAIN, ccxt.RateLimitExceeded("429"), {"Retry-After": "Wed, 21 Oct 2015"}, ((), 2_000)),
    ],
)
def test_a_word_of_too_much_closes_what_it_is_of(
    quirk: object, error: Exception, headers: dict[str, str], closed: tuple[tuple[str, ...], int]
) -> None:
    assert quirk.limited(error, headers, NOW_MS) == Closure(*closed)  # type: ignore[attr-defined]


@pytest.mark.parametrize("quirk", [BINANCE, PERP, BYBIT, OKX, PLAIN])
def test_other_errors_close_nothing(quirk: object) -> None:
    for error in (
        ccxt.RequestTimeout("late"),
        ccxt.ExchangeNotAvailable("502"),
        ccxt.InvalidOrder('{"code":-1013}'),
        ccxt.DDoSProtection('{"code":-2015,"msg":"keys"}') if quirk is BINANCE else ValueError("a bug"),
    ):
        assert quirk.limited(error, {}, NOW_MS) is None  # type: ignore[attr-defined]


def test_every_request_of_a_venue_is_weighed_by_rates_that_it_has() -> None:
    paths = ("new", "cancel", "amend", "openOrders", "myTrades", "trade/fills", "v5/order/realtime", "any")
    for quirk in (BINANCE, PERP, BYBIT, OKX, quirk_of("bybit", "swap")):
        scopes = {rate.scope for rate in quirk.capabilities.rates}
        for path in paths:
            charges = quirk.charges(path)
            assert charges is not None
            assert charges.keys() <= scopes
