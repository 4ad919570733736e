"""One exchange of ccxt, as both the collector and the gateway use it: quiet, unretrying, and at the right address.

Venues are named `{exchange}_spot` and `{exchange}_perp`. ccxt's own rate limiter is off (it is first in, first out,
and a cancel would wait behind orders), and so are its retries (it would send a POST again after a time-out) and those
of aiohttp below it (which sends a PUT or DELETE again when a connection that was kept is torn down).
"""

from __future__ import annotations

import ssl
from functools import cache
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from bestex.config import Config
from bestex.errors import ConfigError
from bestex.keys import Keys, read_keys

# Where the class of perpetuals is not that of spot; elsewhere one class has both.
PERP_CLASSES = {"binance": "binanceusdm", "kraken": "krakenfutures", "kucoin": "kucoinfutures"}
MARKET_TYPES = {"spot": "spot", "perp": "swap"}


def exchange_of(venue: str) -> tuple[str, str]:
    """The ccxt class and the market type, spot or swap, of a venue's name. ConfigError for a name of another form."""
    exchange, _, kind = venue.rpartition("_")
    if not exchange or kind not in MARKET_TYPES:
        raise ConfigError(f"venues.{venue}: a venue of ccxt is called EXCHANGE_spot or EXCHANGE_perp")
    name = PERP_CLASSES.get(exchange, exchange) if kind == "perp" else exchange
    return name, MARKET_TYPES[kind]


def keys_of(venue: str, config: Config) -> Keys | None:
    """The venue's keys, None where it names none. ConfigError where they cannot be used."""
    path = config.venues[venue].keys
    return read_keys(path) if path else None


def order_entry(venue: str, config: Config) -> str:
    """How orders go out where the venue has both: `options.order_entry`. ConfigError for a way that is none."""
    way = str(config.venues[venue].options.get("order_entry", "websocket"))
    if way not in ("websocket", "rest"):
        raise ConfigError(f'venues.{venue}.options.order_entry: is "websocket" or "rest", and not {way!r}')
    return way


def create(
    venue: str, config: Config, timeout_s: float, keys: Keys | None = None, kind: type | None = None
) -> Any:
    """The exchange of `ccxt.pro` that `venue` stands for; `kind` is a subclass of it to be made instead.

    `venues.<venue>.url` moves all of its addresses to another host (an emulator, a proxy), and
    `venues.<venue>.options.sandbox = true` to the exchange's own test net. Must be made within a running event loop,
    and closed with `await exchange.close()`. ConfigError where ccxt has no such exchange.
    """
    settings = config.venues[venue]
    _, market_type = exchange_of(venue)
    made = (kind or class_of(venue))(
        {
            "enableRateLimit": False,
            "maxRetriesOnFailure": 0,
            "timeout": int(timeout_s * 1000),
            "newUpdates": True,
            "options": {
                "defaultType": market_type,
                "maxRetriesOnFailure": 0,
                "adjustForTimeDifference": True,
                "fetchMargins": False,
                "tradesLimit": 1_000,
                "ordersLimit": 1_000,
            },
        }
    )
    if keys is not None:
        made.apiKey, made.secret = keys.get("key"), keys.get("secret")
        made.password = keys.optional("passphrase") or None
    _open_as_ours(made)
    made.has["fetchCurrencies"] = False  # needs keys, or megabytes, for what we do not use
    if settings.options.get("sandbox"):
        made.set_sandbox_mode(True)
    if settings.url:
        move(made, settings.url)
    return made


def _open_as_ours(exchange: Any) -> None:
    """With the process's own TLS context, and to send once: an amendment is a PUT at some, and sent again it might
    undo another. aiohttp has no public word for that."""
    opened = exchange.open

    def open_as_ours(lazy: bool = False) -> None:
        if exchange.ssl_context is None:
            exchange.ssl_context = _tls(exchange.cafile)
        opened(lazy)
        if exchange.session is not None:
            exchange.session._retry_connection = False

    exchange.open = open_as_ours


@cache
def _tls(authorities: str) -> ssl.SSLContext:
    """One for all exchanges and connections: to read the authorities takes 20 ms, in which nothing else happens."""
    return ssl.create_default_context(cafile=authorities)


def class_of(venue: str) -> type:
    """ConfigError where ccxt is not installed, or has no such exchange with websockets."""
    try:
        import ccxt.pro
    except ImportError:
        raise ConfigError(f"venues.{venue}: needs ccxt; pip install 'bestex[ccxt]'") from None
    name, _ = exchange_of(venue)
    found = getattr(ccxt.pro, name, None)
    if not isinstance(found, type):
        raise ConfigError(
            f"venues.{venue}: ccxt has no {name} with websockets; it has {', '.join(ccxt.pro.exchanges)}"
        )
    return found


def move(exchange: Any, url: str) -> None:
    """Every address of the exchange to the host of `url`, paths as they are; websockets follow its scheme."""
    hostname = getattr(exchange, "hostname", None)
    exchange.urls["api"] = _moved(exchange.urls["api"], url, hostname)


def _moved(node: Any, url: str, hostname: str | None) -> Any:
    if isinstance(node, dict):
        return {name: _moved(item, url, hostname) for name, item in node.items()}
    if not isinstance(node, str):
        return node
    new = urlsplit(url)
    old = urlsplit(node.replace("{hostname}", hostname or "hostname"))
    scheme = ("ws" if old.scheme in ("ws", "wss") else "http") + (
        "s" if new.scheme in ("https", "wss") else ""
    )
    return urlunsplit((scheme, new.netloc, old.path, old.query, old.fragment))
