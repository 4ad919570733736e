"""One venue as it is configured."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from msgspec import Meta

from bestex import plugins, sessions
from bestex.config_terms import Section
from bestex.human import Duration, Ratio

SIMULATED = "sim"  # the adapter of venues that exist in the simulated exchange alone
LOOPBACK = ("127.0.0.1", "::1", "localhost")
REAL = "_real"  # behind the name of a venue on paper: its real market, under which `md` tells of that


class VenueConfig(Section, frozen=True, kw_only=True):
    """`adapter` is a name of the registry in `bestex.plugins`; a lower `priority` is preferred on a tie. With
    `native_replace` an order's price is changed in place, with `native_iceberg` an order may rest there of which the
    venue shows a part, each where its gateway can. `keys` is the file of its keys (`bestex.keys`). `rate_share`: the
    part of its limits that this machine may use. `calendar`: its sessions (`bestex.sessions`), outside which nothing
    is sent; where none is given, those that its adapter knows hold at the gateway alone. With `holdings` what its
    account does not hold is refused before it is sent, where its gateway can; venues of the same `account` have one
    purse. `on_difference`: where the venue's balances are not as our fills say, new orders go on (`say`), or not
    before a person has looked (`stop`).

    `mode`: whether a real venue's orders are really sent, for which `bestex.live` asks more than this word; on paper
    they go to the simulated exchange, against the real market's data. `latency` is that of a venue there, one way."""

    adapter: str = "sim"
    mode: Literal["paper", "live"] = "paper"
    keys: str = ""
    enabled: bool = True
    calendar: str = ""
    priority: Annotated[int, Meta(ge=1, le=100)] = 10
    max_volume_pct: Ratio = Ratio(1.0)
    native_replace: bool = False
    native_iceberg: bool = False
    rate_share: Ratio = Ratio(1.0)
    account: Annotated[str, Meta(pattern=r"\A[a-z0-9_]{0,24}\Z")] = ""
    holdings: bool = True
    on_difference: Literal["say", "stop"] = "say"
    url: str = ""
    latency: Duration | None = None
    options: dict[str, Any] = {}

    @property
    def hours(self) -> str:
        """The calendar that is configured, for those who know no other."""
        return self.calendar or sessions.ALWAYS

    @property
    def kind(self) -> Literal["simulated", "paper", "live", "data"]:
        """`simulated`: its market too is made up. `paper`: that is real, nothing is sent. `data`: it cannot be."""
        if self.adapter == SIMULATED:
            return "simulated"
        if self.adapter not in plugins.GATEWAYS:
            return "data"
        return "live" if self.mode == "live" else "paper"

    @property
    def is_simulated(self) -> bool:
        return self.kind == "simulated"

    @property
    def is_paper(self) -> bool:
        return self.kind == "paper"

    @property
    def is_live(self) -> bool:
        return self.kind == "live"

    @property
    def is_real(self) -> bool:
        """Whether what it does is done in the world. A live venue at a loopback address is an emulator of one."""
        return self.is_live and urlsplit(self.url).hostname not in LOOPBACK

    @property
    def in_exchange(self) -> bool:
        """Whether its orders go to the simulated exchange, from which its market's data then come."""
        return self.kind in ("simulated", "paper")
