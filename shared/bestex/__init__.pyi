# Written by `python -m tests.stubs` from the registry of algorithms.
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Literal

from bestex.client import Client as Client
from bestex.errors import BestexError as BestexError
from bestex.errors import Code as Code
from bestex.errors import OrderRejected as OrderRejected
from bestex.execution import Execution as Execution
from bestex.execution import Summary as Summary
from bestex.execution import Works
from bestex.execution import execute as execute
from bestex.messages import Alternative as Alternative
from bestex.messages import Fill as Fill
from bestex.messages import ParentDone as ParentDone
from bestex.messages import ParentOrder as ParentOrder
from bestex.messages import ParentRejected as ParentRejected
from bestex.messages import Plan as Plan
from bestex.messages import Side as Side
from bestex.messages import Trigger as Trigger
from bestex.parent import Parent as Parent

class Block:
    """Rests in dark venues first, divided by what was found there, and works the rest on the lit
    ones."""

    name: ClassVar[str]
    def __init__(
        self,
        *,
        interval: str | float = "10s",
        slices: int = 0,
        dark_share: str | float = "50%",
        dark_time: str | float | None = None,
        rest: str | float = "10s",
        min_fill: Decimal | str | int | None = None,
        conditional: bool = False,
        then: Literal["twap", "at_once"] = "twap",
        learning: Literal["censored", "gradient"] = "censored",
        forget: str | float = "2%",
        start_time: str | datetime | None = None,
        end_time: str | datetime | None = None,
        duration: str | float = "5m",
        tif: Literal["gtd", "day"] = "gtd",
        max_slippage: str | float | None = None,
        would_price: Decimal | str | int | None = None,
        max_participation: str | float | None = None,
        min_slice: Decimal | str | int | None = None,
        max_slice: Decimal | str | int | None = None,
        randomize: str | float = "20%",
        catch_up: str | float = "100%",
        out_of_limit: Literal["catch_up", "pause"] = "catch_up",
        force_completion: bool = False,
        urgency: Literal["low", "medium", "high", "immediate"] | None = None,
        slice_ttl: str | float | None = None,
    ) -> None: ...

class Iceberg:
    """Rests with all of the order while the market sees a part of it at a time, varied in size and
    time."""

    name: ClassVar[str]
    def __init__(
        self,
        *,
        max_chase: str | float | None = None,
        display: Decimal | str | int | None = None,
        display_share: str | float = "10%",
        refresh: str | float = "1s",
        repost_after: str | float = "10s",
        post_only: bool = False,
        native: bool = True,
        start_time: str | datetime | None = None,
        end_time: str | datetime | None = None,
        duration: str | float = "1d",
        tif: Literal["gtd", "day"] = "gtd",
        max_slippage: str | float | None = None,
        would_price: Decimal | str | int | None = None,
        max_participation: str | float | None = None,
        min_slice: Decimal | str | int | None = None,
        max_slice: Decimal | str | int | None = None,
        randomize: str | float = "20%",
        catch_up: str | float = "100%",
        out_of_limit: Literal["catch_up", "pause"] = "catch_up",
        force_completion: bool = False,
        urgency: Literal["low", "medium", "high", "immediate"] | None = None,
        slice_ttl: str | float | None = None,
    ) -> None: ...

class ImplementationShortfall:
    """The least expected cost for its risk: early where the price wanders much, evenly where trading
    fast is dear."""

    name: ClassVar[str]
    def __init__(
        self,
        *,
        interval: str | float = "10s",
        slices: int = 0,
        risk_aversion: float | None = None,
        volatility: str | float | None = None,
        temporary_impact: float | None = None,
        permanent_impact: float = 0.0,
        model: Literal["almgren_chriss", "transient"] = "almgren_chriss",
        half_life: str | float | None = None,
        replan: str | float = "30s",
        start_time: str | datetime | None = None,
        end_time: str | datetime | None = None,
        duration: str | float = "5m",
        tif: Literal["gtd", "day"] = "gtd",
        max_slippage: str | float | None = None,
        would_price: Decimal | str | int | None = None,
        max_participation: str | float | None = None,
        min_slice: Decimal | str | int | None = None,
        max_slice: Decimal | str | int | None = None,
        randomize: str | float = "20%",
        catch_up: str | float = "100%",
        out_of_limit: Literal["catch_up", "pause"] = "catch_up",
        force_completion: bool = False,
        urgency: Literal["low", "medium", "high", "immediate"] | None = None,
        slice_ttl: str | float | None = None,
    ) -> None: ...

IS = ImplementationShortfall

class Limit:
    """One slice at the limit price: what crosses is taken, the rest rests on the best venue until the
    end."""

    name: ClassVar[str]
    def __init__(
        self,
        *,
        start_time: str | datetime | None = None,
        end_time: str | datetime | None = None,
        duration: str | float = "1d",
        tif: Literal["gtc", "gtd", "day", "ioc"] = "gtc",
        max_slippage: str | float | None = None,
        would_price: Decimal | str | int | None = None,
        max_participation: str | float | None = None,
        min_slice: Decimal | str | int | None = None,
        max_slice: Decimal | str | int | None = None,
        randomize: str | float = "20%",
        catch_up: str | float = "100%",
        out_of_limit: Literal["catch_up", "pause"] = "catch_up",
        force_completion: bool = False,
        urgency: Literal["low", "medium", "high", "immediate"] | None = None,
        slice_ttl: str | float | None = None,
    ) -> None: ...

class Liquidity:
    """Slices that are a share of the depth near the mid, at an interval or as soon as the book
    allows."""

    name: ClassVar[str]
    def __init__(
        self,
        *,
        share: str | float = "10%",
        depth_bps: int = 10,
        depth_of: Literal["both", "front"] = "both",
        interval: str | float = "10s",
        start_time: str | datetime | None = None,
        end_time: str | datetime | None = None,
        duration: str | float = "5m",
        tif: Literal["gtd", "day"] = "gtd",
        max_slippage: str | float | None = None,
        would_price: Decimal | str | int | None = None,
        max_participation: str | float | None = None,
        min_slice: Decimal | str | int | None = None,
        max_slice: Decimal | str | int | None = None,
        randomize: str | float = "20%",
        catch_up: str | float = "100%",
        out_of_limit: Literal["catch_up", "pause"] = "catch_up",
        force_completion: bool = False,
        urgency: Literal["low", "medium", "high", "immediate"] | None = None,
        slice_ttl: str | float | None = None,
    ) -> None: ...

class Market:
    """One slice now, taken from the book; what the book does not hold within the limit stays
    unfilled."""

    name: ClassVar[str]
    def __init__(
        self,
        *,
        start_time: str | datetime | None = None,
        end_time: str | datetime | None = None,
        duration: str | float = "10s",
        tif: Literal["gtd", "day"] = "gtd",
        max_slippage: str | float | None = None,
        would_price: Decimal | str | int | None = None,
        max_participation: str | float | None = None,
        min_slice: Decimal | str | int | None = None,
        max_slice: Decimal | str | int | None = None,
        randomize: str | float = "20%",
        catch_up: str | float = "100%",
        out_of_limit: Literal["catch_up", "pause"] = "catch_up",
        force_completion: bool = False,
        urgency: Literal["low", "medium", "high", "immediate"] | None = None,
        slice_ttl: str | float | None = None,
    ) -> None: ...

class Peg:
    """Rests at a distance from the best price of its side, the mid or the other side, and follows
    it."""

    name: ClassVar[str]
    def __init__(
        self,
        *,
        max_chase: str | float | None = None,
        reference: Literal["primary", "mid", "market"] = "primary",
        offset: Decimal | str | int = "0",
        tolerance: Decimal | str | int = "1",
        unit: Literal["ticks", "bps"] = "ticks",
        interval: str | float = "1s",
        start_time: str | datetime | None = None,
        end_time: str | datetime | None = None,
        duration: str | float = "1h",
        tif: Literal["gtd", "day"] = "gtd",
        max_slippage: str | float | None = None,
        would_price: Decimal | str | int | None = None,
        max_participation: str | float | None = None,
        min_slice: Decimal | str | int | None = None,
        max_slice: Decimal | str | int | None = None,
        randomize: str | float = "20%",
        catch_up: str | float = "100%",
        out_of_limit: Literal["catch_up", "pause"] = "catch_up",
        force_completion: bool = False,
        urgency: Literal["low", "medium", "high", "immediate"] | None = None,
        slice_ttl: str | float | None = None,
    ) -> None: ...

PEG = Peg

class Pov:
    """A share of what the market trades: follows its volume up and down, and never runs ahead of it."""

    name: ClassVar[str]
    def __init__(
        self,
        *,
        rate: str | float = "10%",
        min_rate: str | float | None = None,
        max_rate: str | float | None = None,
        reach: str | float = "0.1%",
        start_time: str | datetime | None = None,
        end_time: str | datetime | None = None,
        duration: str | float = "1d",
        tif: Literal["gtd", "day"] = "gtd",
        max_slippage: str | float | None = None,
        would_price: Decimal | str | int | None = None,
        max_participation: str | float | None = None,
        min_slice: Decimal | str | int | None = None,
        max_slice: Decimal | str | int | None = None,
        randomize: str | float = "20%",
        catch_up: str | float = "100%",
        out_of_limit: Literal["catch_up", "pause"] = "catch_up",
        force_completion: bool = False,
        urgency: Literal["low", "medium", "high", "immediate"] | None = None,
        slice_ttl: str | float | None = None,
    ) -> None: ...

POV = Pov

class Smart:
    """Picks the algorithm for the order: by urgency, size, spread, volatility, time and limit; and says
    why."""

    name: ClassVar[str]
    def __init__(
        self,
        *,
        depth_bps: int = 10,
        start_time: str | datetime | None = None,
        end_time: str | datetime | None = None,
        duration: str | float = "5m",
        tif: Literal["gtd", "day"] = "gtd",
        max_slippage: str | float | None = None,
        would_price: Decimal | str | int | None = None,
        max_participation: str | float | None = None,
        min_slice: Decimal | str | int | None = None,
        max_slice: Decimal | str | int | None = None,
        randomize: str | float = "20%",
        catch_up: str | float = "100%",
        out_of_limit: Literal["catch_up", "pause"] = "catch_up",
        force_completion: bool = False,
        urgency: Literal["low", "medium", "high", "immediate"] | None = None,
        slice_ttl: str | float | None = None,
    ) -> None: ...

class Sniper:
    """Waits unseen for more to take than usual, and takes a part of it at the event's price."""

    name: ClassVar[str]
    def __init__(
        self,
        *,
        threshold: str | float = "65%",
        take: str | float = "50%",
        near: str | float = "0.005%",
        cooldown: str | float = "1s",
        max_events: int = 0,
        start_time: str | datetime | None = None,
        end_time: str | datetime | None = None,
        duration: str | float = "5m",
        tif: Literal["gtd", "day"] = "gtd",
        max_slippage: str | float | None = None,
        would_price: Decimal | str | int | None = None,
        max_participation: str | float | None = None,
        min_slice: Decimal | str | int | None = None,
        max_slice: Decimal | str | int | None = None,
        randomize: str | float = "20%",
        catch_up: str | float = "100%",
        out_of_limit: Literal["catch_up", "pause"] = "catch_up",
        force_completion: bool = False,
        urgency: Literal["low", "medium", "high", "immediate"] | None = None,
        slice_ttl: str | float | None = None,
    ) -> None: ...

class Twap:
    """Equal parts at equal times: the average price over the duration, at the least information given
    away."""

    name: ClassVar[str]
    def __init__(
        self,
        *,
        interval: str | float = "10s",
        slices: int = 0,
        start_time: str | datetime | None = None,
        end_time: str | datetime | None = None,
        duration: str | float = "5m",
        tif: Literal["gtd", "day"] = "gtd",
        max_slippage: str | float | None = None,
        would_price: Decimal | str | int | None = None,
        max_participation: str | float | None = None,
        min_slice: Decimal | str | int | None = None,
        max_slice: Decimal | str | int | None = None,
        randomize: str | float = "20%",
        catch_up: str | float = "100%",
        out_of_limit: Literal["catch_up", "pause"] = "catch_up",
        force_completion: bool = False,
        urgency: Literal["low", "medium", "high", "immediate"] | None = None,
        slice_ttl: str | float | None = None,
    ) -> None: ...

TWAP = Twap

class Vwap:
    """Follows the market's volume profile within its trading hours: the market's own average price."""

    name: ClassVar[str]
    def __init__(
        self,
        *,
        interval: str | float = "30s",
        slices: int = 0,
        days: int = 20,
        lookback: str | float | None = None,
        bucket: str | float = "15m",
        start_time: str | datetime | None = None,
        end_time: str | datetime | None = None,
        duration: str | float = "5m",
        tif: Literal["gtd", "day"] = "gtd",
        max_slippage: str | float | None = None,
        would_price: Decimal | str | int | None = None,
        max_participation: str | float | None = None,
        min_slice: Decimal | str | int | None = None,
        max_slice: Decimal | str | int | None = None,
        randomize: str | float = "20%",
        catch_up: str | float = "100%",
        out_of_limit: Literal["catch_up", "pause"] = "catch_up",
        force_completion: bool = False,
        urgency: Literal["low", "medium", "high", "immediate"] | None = None,
        slice_ttl: str | float | None = None,
    ) -> None: ...

VWAP = Vwap

async def execute_block(
    symbol: str,
    side: Side | Literal["buy", "sell"],
    qty: Decimal | str | int,
    *,
    interval: str | float = "10s",
    slices: int = 0,
    dark_share: str | float = "50%",
    dark_time: str | float | None = None,
    rest: str | float = "10s",
    min_fill: Decimal | str | int | None = None,
    conditional: bool = False,
    then: Literal["twap", "at_once"] = "twap",
    learning: Literal["censored", "gradient"] = "censored",
    forget: str | float = "2%",
    start_time: str | datetime | None = None,
    end_time: str | datetime | None = None,
    duration: str | float = "5m",
    tif: Literal["gtd", "day"] = "gtd",
    max_slippage: str | float | None = None,
    would_price: Decimal | str | int | None = None,
    max_participation: str | float | None = None,
    min_slice: Decimal | str | int | None = None,
    max_slice: Decimal | str | int | None = None,
    randomize: str | float = "20%",
    catch_up: str | float = "100%",
    out_of_limit: Literal["catch_up", "pause"] = "catch_up",
    force_completion: bool = False,
    urgency: Literal["low", "medium", "high", "immediate"] | None = None,
    slice_ttl: str | float | None = None,
    limit_price: Decimal | str | None = None,
    strategy: str = "",
    strategy_params: Mapping[str, Any] | None = None,
    venues: Sequence[str] | None = None,
    account: str = "default",
    trigger: Trigger | Mapping[str, Any] | None = None,
    otherwise: Alternative | Mapping[str, Any] | None = None,
    note: str = "",
    parent_id: str = "",
    client: Works | None = None,
) -> Execution:
    """Rests in dark venues first, divided by what was found there, and works the rest on the lit
    ones."""

async def execute_iceberg(
    symbol: str,
    side: Side | Literal["buy", "sell"],
    qty: Decimal | str | int,
    *,
    max_chase: str | float | None = None,
    display: Decimal | str | int | None = None,
    display_share: str | float = "10%",
    refresh: str | float = "1s",
    repost_after: str | float = "10s",
    post_only: bool = False,
    native: bool = True,
    start_time: str | datetime | None = None,
    end_time: str | datetime | None = None,
    duration: str | float = "1d",
    tif: Literal["gtd", "day"] = "gtd",
    max_slippage: str | float | None = None,
    would_price: Decimal | str | int | None = None,
    max_participation: str | float | None = None,
    min_slice: Decimal | str | int | None = None,
    max_slice: Decimal | str | int | None = None,
    randomize: str | float = "20%",
    catch_up: str | float = "100%",
    out_of_limit: Literal["catch_up", "pause"] = "catch_up",
    force_completion: bool = False,
    urgency: Literal["low", "medium", "high", "immediate"] | None = None,
    slice_ttl: str | float | None = None,
    limit_price: Decimal | str | None = None,
    strategy: str = "",
    strategy_params: Mapping[str, Any] | None = None,
    venues: Sequence[str] | None = None,
    account: str = "default",
    trigger: Trigger | Mapping[str, Any] | None = None,
    otherwise: Alternative | Mapping[str, Any] | None = None,
    note: str = "",
    parent_id: str = "",
    client: Works | None = None,
) -> Execution:
    """Rests with all of the order while the market sees a part of it at a time, varied in size and
    time."""

async def execute_is(
    symbol: str,
    side: Side | Literal["buy", "sell"],
    qty: Decimal | str | int,
    *,
    interval: str | float = "10s",
    slices: int = 0,
    risk_aversion: float | None = None,
    volatility: str | float | None = None,
    temporary_impact: float | None = None,
    permanent_impact: float = 0.0,
    model: Literal["almgren_chriss", "transient"] = "almgren_chriss",
    half_life: str | float | None = None,
    replan: str | float = "30s",
    start_time: str | datetime | None = None,
    end_time: str | datetime | None = None,
    duration: str | float = "5m",
    tif: Literal["gtd", "day"] = "gtd",
    max_slippage: str | float | None = None,
    would_price: Decimal | str | int | None = None,
    max_participation: str | float | None = None,
    min_slice: Decimal | str | int | None = None,
    max_slice: Decimal | str | int | None = None,
    randomize: str | float = "20%",
    catch_up: str | float = "100%",
    out_of_limit: Literal["catch_up", "pause"] = "catch_up",
    force_completion: bool = False,
    urgency: Literal["low", "medium", "high", "immediate"] | None = None,
    slice_ttl: str | float | None = None,
    limit_price: Decimal | str | None = None,
    strategy: str = "",
    strategy_params: Mapping[str, Any] | None = None,
    venues: Sequence[str] | None = None,
    account: str = "default",
    trigger: Trigger | Mapping[str, Any] | None = None,
    otherwise: Alternative | Mapping[str, Any] | None = None,
    note: str = "",
    parent_id: str = "",
    client: Works | None = None,
) -> Execution:
    """The least expected cost for its risk: early where the price wanders much, evenly where trading
    fast is dear."""

async def execute_limit(
    symbol: str,
    side: Side | Literal["buy", "sell"],
    qty: Decimal | str | int,
    *,
    start_time: str | datetime | None = None,
    end_time: str | datetime | None = None,
    duration: str | float = "1d",
    tif: Literal["gtc", "gtd", "day", "ioc"] = "gtc",
    max_slippage: str | float | None = None,
    would_price: Decimal | str | int | None = None,
    max_participation: str | float | None = None,
    min_slice: Decimal | str | int | None = None,
    max_slice: Decimal | str | int | None = None,
    randomize: str | float = "20%",
    catch_up: str | float = "100%",
    out_of_limit: Literal["catch_up", "pause"] = "catch_up",
    force_completion: bool = False,
    urgency: Literal["low", "medium", "high", "immediate"] | None = None,
    slice_ttl: str | float | None = None,
    limit_price: Decimal | str | None = None,
    strategy: str = "",
    strategy_params: Mapping[str, Any] | None = None,
    venues: Sequence[str] | None = None,
    account: str = "default",
    trigger: Trigger | Mapping[str, Any] | None = None,
    otherwise: Alternative | Mapping[str, Any] | None = None,
    note: str = "",
    parent_id: str = "",
    client: Works | None = None,
) -> Execution:
    """One slice at the limit price: what crosses is taken, the rest rests on the best venue until the
    end."""

async def execute_liquidity(
    symbol: str,
    side: Side | Literal["buy", "sell"],
    qty: Decimal | str | int,
    *,
    share: str | float = "10%",
    depth_bps: int = 10,
    depth_of: Literal["both", "front"] = "both",
    interval: str | float = "10s",
    start_time: str | datetime | None = None,
    end_time: str | datetime | None = None,
    duration: str | float = "5m",
    tif: Literal["gtd", "day"] = "gtd",
    max_slippage: str | float | None = None,
    would_price: Decimal | str | int | None = None,
    max_participation: str | float | None = None,
    min_slice: Decimal | str | int | None = None,
    max_slice: Decimal | str | int | None = None,
    randomize: str | float = "20%",
    catch_up: str | float = "100%",
    out_of_limit: Literal["catch_up", "pause"] = "catch_up",
    force_completion: bool = False,
    urgency: Literal["low", "medium", "high", "immediate"] | None = None,
    slice_ttl: str | float | None = None,
    limit_price: Decimal | str | None = None,
    strategy: str = "",
    strategy_params: Mapping[str, Any] | None = None,
    venues: Sequence[str] | None = None,
    account: str = "default",
    trigger: Trigger | Mapping[str, Any] | None = None,
    otherwise: Alternative | Mapping[str, Any] | None = None,
    note: str = "",
    parent_id: str = "",
    client: Works | None = None,
) -> Execution:
    """Slices that are a share of the depth near the mid, at an interval or as soon as the book
    allows."""

async def execute_market(
    symbol: str,
    side: Side | Literal["buy", "sell"],
    qty: Decimal | str | int,
    *,
    start_time: str | datetime | None = None,
    end_time: str | datetime | None = None,
    duration: str | float = "10s",
    tif: Literal["gtd", "day"] = "gtd",
    max_slippage: str | float | None = None,
    would_price: Decimal | str | int | None = None,
    max_participation: str | float | None = None,
    min_slice: Decimal | str | int | None = None,
    max_slice: Decimal | str | int | None = None,
    randomize: str | float = "20%",
    catch_up: str | float = "100%",
    out_of_limit: Literal["catch_up", "pause"] = "catch_up",
    force_completion: bool = False,
    urgency: Literal["low", "medium", "high", "immediate"] | None = None,
    slice_ttl: str | float | None = None,
    limit_price: Decimal | str | None = None,
    strategy: str = "",
    strategy_params: Mapping[str, Any] | None = None,
    venues: Sequence[str] | None = None,
    account: str = "default",
    trigger: Trigger | Mapping[str, Any] | None = None,
    otherwise: Alternative | Mapping[str, Any] | None = None,
    note: str = "",
    parent_id: str = "",
    client: Works | None = None,
) -> Execution:
    """One slice now, taken from the book; what the book does not hold within the limit stays
    unfilled."""

async def execute_peg(
    symbol: str,
    side: Side | Literal["buy", "sell"],
    qty: Decimal | str | int,
    *,
    max_chase: str | float | None = None,
    reference: Literal["primary", "mid", "market"] = "primary",
    offset: Decimal | str | int = "0",
    tolerance: Decimal | str | int = "1",
    unit: Literal["ticks", "bps"] = "ticks",
    interval: str | float = "1s",
    start_time: str | datetime | None = None,
    end_time: str | datetime | None = None,
    duration: str | float = "1h",
    tif: Literal["gtd", "day"] = "gtd",
    max_slippage: str | float | None = None,
    would_price: Decimal | str | int | None = None,
    max_participation: str | float | None = None,
    min_slice: Decimal | str | int | None = None,
    max_slice: Decimal | str | int | None = None,
    randomize: str | float = "20%",
    catch_up: str | float = "100%",
    out_of_limit: Literal["catch_up", "pause"] = "catch_up",
    force_completion: bool = False,
    urgency: Literal["low", "medium", "high", "immediate"] | None = None,
    slice_ttl: str | float | None = None,
    limit_price: Decimal | str | None = None,
    strategy: str = "",
    strategy_params: Mapping[str, Any] | None = None,
    venues: Sequence[str] | None = None,
    account: str = "default",
    trigger: Trigger | Mapping[str, Any] | None = None,
    otherwise: Alternative | Mapping[str, Any] | None = None,
    note: str = "",
    parent_id: str = "",
    client: Works | None = None,
) -> Execution:
    """Rests at a distance from the best price of its side, the mid or the other side, and follows
    it."""

async def execute_pov(
    symbol: str,
    side: Side | Literal["buy", "sell"],
    qty: Decimal | str | int,
    *,
    rate: str | float = "10%",
    min_rate: str | float | None = None,
    max_rate: str | float | None = None,
    reach: str | float = "0.1%",
    start_time: str | datetime | None = None,
    end_time: str | datetime | None = None,
    duration: str | float = "1d",
    tif: Literal["gtd", "day"] = "gtd",
    max_slippage: str | float | None = None,
    would_price: Decimal | str | int | None = None,
    max_participation: str | float | None = None,
    min_slice: Decimal | str | int | None = None,
    max_slice: Decimal | str | int | None = None,
    randomize: str | float = "20%",
    catch_up: str | float = "100%",
    out_of_limit: Literal["catch_up", "pause"] = "catch_up",
    force_completion: bool = False,
    urgency: Literal["low", "medium", "high", "immediate"] | None = None,
    slice_ttl: str | float | None = None,
    limit_price: Decimal | str | None = None,
    strategy: str = "",
    strategy_params: Mapping[str, Any] | None = None,
    venues: Sequence[str] | None = None,
    account: str = "default",
    trigger: Trigger | Mapping[str, Any] | None = None,
    otherwise: Alternative | Mapping[str, Any] | None = None,
    note: str = "",
    parent_id: str = "",
    client: Works | None = None,
) -> Execution:
    """A share of what the market trades: follows its volume up and down, and never runs ahead of it."""

async def execute_smart(
    symbol: str,
    side: Side | Literal["buy", "sell"],
    qty: Decimal | str | int,
    *,
    depth_bps: int = 10,
    start_time: str | datetime | None = None,
    end_time: str | datetime | None = None,
    duration: str | float = "5m",
    tif: Literal["gtd", "day"] = "gtd",
    max_slippage: str | float | None = None,
    would_price: Decimal | str | int | None = None,
    max_participation: str | float | None = None,
    min_slice: Decimal | str | int | None = None,
    max_slice: Decimal | str | int | None = None,
    randomize: str | float = "20%",
    catch_up: str | float = "100%",
    out_of_limit: Literal["catch_up", "pause"] = "catch_up",
    force_completion: bool = False,
    urgency: Literal["low", "medium", "high", "immediate"] | None = None,
    slice_ttl: str | float | None = None,
    limit_price: Decimal | str | None = None,
    strategy: str = "",
    strategy_params: Mapping[str, Any] | None = None,
    venues: Sequence[str] | None = None,
    account: str = "default",
    trigger: Trigger | Mapping[str, Any] | None = None,
    otherwise: Alternative | Mapping[str, Any] | None = None,
    note: str = "",
    parent_id: str = "",
    client: Works | None = None,
) -> Execution:
    """Picks the algorithm for the order: by urgency, size, spread, volatility, time and limit; and says
    why."""

async def execute_sniper(
    symbol: str,
    side: Side | Literal["buy", "sell"],
    qty: Decimal | str | int,
    *,
    threshold: str | float = "65%",
    take: str | float = "50%",
    near: str | float = "0.005%",
    cooldown: str | float = "1s",
    max_events: int = 0,
    start_time: str | datetime | None = None,
    end_time: str | datetime | None = None,
    duration: str | float = "5m",
    tif: Literal["gtd", "day"] = "gtd",
    max_slippage: str | float | None = None,
    would_price: Decimal | str | int | None = None,
    max_participation: str | float | None = None,
    min_slice: Decimal | str | int | None = None,
    max_slice: Decimal | str | int | None = None,
    randomize: str | float = "20%",
    catch_up: str | float = "100%",
    out_of_limit: Literal["catch_up", "pause"] = "catch_up",
    force_completion: bool = False,
    urgency: Literal["low", "medium", "high", "immediate"] | None = None,
    slice_ttl: str | float | None = None,
    limit_price: Decimal | str | None = None,
    strategy: str = "",
    strategy_params: Mapping[str, Any] | None = None,
    venues: Sequence[str] | None = None,
    account: str = "default",
    trigger: Trigger | Mapping[str, Any] | None = None,
    otherwise: Alternative | Mapping[str, Any] | None = None,
    note: str = "",
    parent_id: str = "",
    client: Works | None = None,
) -> Execution:
    """Waits unseen for more to take than usual, and takes a part of it at the event's price."""

async def execute_twap(
    symbol: str,
    side: Side | Literal["buy", "sell"],
    qty: Decimal | str | int,
    *,
    interval: str | float = "10s",
    slices: int = 0,
    start_time: str | datetime | None = None,
    end_time: str | datetime | None = None,
    duration: str | float = "5m",
    tif: Literal["gtd", "day"] = "gtd",
    max_slippage: str | float | None = None,
    would_price: Decimal | str | int | None = None,
    max_participation: str | float | None = None,
    min_slice: Decimal | str | int | None = None,
    max_slice: Decimal | str | int | None = None,
    randomize: str | float = "20%",
    catch_up: str | float = "100%",
    out_of_limit: Literal["catch_up", "pause"] = "catch_up",
    force_completion: bool = False,
    urgency: Literal["low", "medium", "high", "immediate"] | None = None,
    slice_ttl: str | float | None = None,
    limit_price: Decimal | str | None = None,
    strategy: str = "",
    strategy_params: Mapping[str, Any] | None = None,
    venues: Sequence[str] | None = None,
    account: str = "default",
    trigger: Trigger | Mapping[str, Any] | None = None,
    otherwise: Alternative | Mapping[str, Any] | None = None,
    note: str = "",
    parent_id: str = "",
    client: Works | None = None,
) -> Execution:
    """Equal parts at equal times: the average price over the duration, at the least information given
    away."""

async def execute_vwap(
    symbol: str,
    side: Side | Literal["buy", "sell"],
    qty: Decimal | str | int,
    *,
    interval: str | float = "30s",
    slices: int = 0,
    days: int = 20,
    lookback: str | float | None = None,
    bucket: str | float = "15m",
    start_time: str | datetime | None = None,
    end_time: str | datetime | None = None,
    duration: str | float = "5m",
    tif: Literal["gtd", "day"] = "gtd",
    max_slippage: str | float | None = None,
    would_price: Decimal | str | int | None = None,
    max_participation: str | float | None = None,
    min_slice: Decimal | str | int | None = None,
    max_slice: Decimal | str | int | None = None,
    randomize: str | float = "20%",
    catch_up: str | float = "100%",
    out_of_limit: Literal["catch_up", "pause"] = "catch_up",
    force_completion: bool = False,
    urgency: Literal["low", "medium", "high", "immediate"] | None = None,
    slice_ttl: str | float | None = None,
    limit_price: Decimal | str | None = None,
    strategy: str = "",
    strategy_params: Mapping[str, Any] | None = None,
    venues: Sequence[str] | None = None,
    account: str = "default",
    trigger: Trigger | Mapping[str, Any] | None = None,
    otherwise: Alternative | Mapping[str, Any] | None = None,
    note: str = "",
    parent_id: str = "",
    client: Works | None = None,
) -> Execution:
    """Follows the market's volume profile within its trading hours: the market's own average price."""

def __getattr__(name: str) -> Any: ...
