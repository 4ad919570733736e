"""Where KIS is, what a venue of it trades, and how its requests are called there.

Settings of a venue, under `venues.<venue>.options`:

    exchange   KRX, NXT or US; of the venue's name where it is not given (kis_krx, kis_nxt, kis_us)
    host       real (the default) or virtual, the broker's own simulation
    rate       requests in a second; 20 and 2 where it is not given
    socket     the websocket's address, where it is not the host's (or that of `venues.<venue>.url`)
    notices    false: without a websocket, everything is asked for (an appkey may have one websocket only)
    sell_tax_bps   what is taken of a sale besides the commission, in bps
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from bestex.config import Config
from bestex.errors import ConfigError

REAL = ("https://openapi.koreainvestment.com:9443", "ws://ops.koreainvestment.com:21000")
VIRTUAL = ("https://openapivts.koreainvestment.com:29443", "ws://ops.koreainvestment.com:31000")
RATES = {False: 20.0, True: 2.0}  # requests in a second, real and virtual
CALENDARS = {"KRX": "XKRX", "NXT": "NXT", "US": "XNYS"}
EXCHANGES = tuple(CALENDARS)
_OPTIONS = {"exchange", "host", "rate", "socket", "notices", "sell_tax_bps", "silence_s"}


class Host(NamedTuple):
    url: str
    socket: str
    virtual: bool
    exchange: str
    rate: float
    notices: bool
    sell_tax: Decimal  # a part of the value

    def tr(self, tr_id: str) -> str:
        """As this host calls a request of trading: the virtual one's begin with V."""
        return f"V{tr_id[1:]}" if self.virtual and tr_id.startswith("T") else tr_id

    @property
    def notice_id(self) -> str:
        """The websocket's name for notices of the account's own orders."""
        return ("H0GSCNI" if self.exchange == "US" else "H0STCNI") + ("9" if self.virtual else "0")


def host_of(venue: str, config: Config) -> Host:
    """ConfigError for a setting that there is not."""
    settings = config.venues[venue]
    options: dict[str, Any] = settings.options
    where = f"venues.{venue}.options"
    if unknown := sorted(options.keys() - _OPTIONS):
        raise ConfigError(
            f"{where}.{unknown[0]}: there is no such option; there are {', '.join(sorted(_OPTIONS))}"
        )
    exchange = str(options.get("exchange") or venue.rpartition("_")[2]).upper()
    if exchange not in EXCHANGES:
        raise ConfigError(f"{where}.exchange: must be one of {', '.join(EXCHANGES)}")
    host = options.get("host", "real")
    if host not in ("real", "virtual"):
        raise ConfigError(f"{where}.host: must be real or virtual")
    virtual = host == "virtual"
    if virtual and exchange == "NXT":
        raise ConfigError(f"{where}.host: the virtual host has no NXT")
    url, socket = VIRTUAL if virtual else REAL
    if settings.url:
        url = settings.url.rstrip("/")
        socket = "ws" + url.removeprefix("http")
    return Host(
        url=url,
        socket=str(options.get("socket") or socket),
        virtual=virtual,
        exchange=exchange,
        rate=float(_number(f"{where}.rate", options.get("rate", RATES[virtual]))),
        notices=bool(options.get("notices", True)),
        sell_tax=_number(f"{where}.sell_tax_bps", options.get("sell_tax_bps", 0)) / 10_000,
    )


def _number(path: str, given: Any) -> Decimal:
    try:
        value = Decimal(str(given))
    except InvalidOperation:
        value = Decimal(-1)
    if not value.is_finite() or value < 0:
        raise ConfigError(f"{path}: must be a number that is not below zero")
    return value
