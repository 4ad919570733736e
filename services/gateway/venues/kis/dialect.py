"""How KIS is asked about orders, and what its rows say: domestic and of the United States. Pure.

An order's id with us is its date in Seoul and its number (20261130-0000117057): numbers begin anew each day.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from bestex.clock import DAY
from bestex.errors import ConfigError
from bestex.keys import Keys
from bestex.kis import frames
from bestex.kis.client import Json, Op
from bestex.kis.hosts import Host
from bestex.messages import Side, Tif
from bestex.units import UnitError
from services.gateway.venues.kis.markets import Market

KINDS = {Tif.IOC: "11", Tif.FOK: "12"}  # ORD_DVSN of a limit order; anything else is 00, good for the day
LOOK_BACK_NS = 5 * DAY  # no order of theirs is older: a weekend and its Monday lie between at most


class Row(NamedTuple):
    """One number's row. Quantities and prices in units; `left` is what still works under it, `gone` whether the row
    is a cancel's own."""

    id: str
    original: str  # the id that it amends or cancels
    branch: str
    market: Market
    side: Side
    qty: int
    price: int
    kind: str
    filled: int
    amount: int
    left: int
    refused: int
    is_cancel: bool
    at_ns: int
    told_ns: int  # of the last thing that happened to it; 0 where that is not said


def order_id(day: str, number: Any) -> str:
    made = frames.order_number(number)
    return f"{day}-{made}" if made else ""


def number_of(venue_order_id: str) -> str:
    return venue_order_id.rpartition("-")[2]


def kind_of(tif: Tif | None) -> str:
    return KINDS.get(tif, "00") if tif is not None else "00"


class Domestic:
    """KRX or NXT."""

    TRADING = "/uapi/domestic-stock/v1/trading/"
    TIFS = frozenset({Tif.IOC, Tif.FOK, Tif.GTC, Tif.DAY})
    VIRTUAL_TIFS = frozenset({Tif.GTC, Tif.DAY})
    SUFFIX = "100"
    BUY, SELL = Op(f"{TRADING}order-cash", "TTTC0012U", True), Op(f"{TRADING}order-cash", "TTTC0011U", True)
    REVISE = Op(f"{TRADING}order-rvsecncl", "TTTC0013U", True)
    ORDERS = Op(f"{TRADING}inquire-daily-ccld", "TTTC0081R")
    OPEN = Op(f"{TRADING}inquire-psbl-rvsecncl", "TTTC0084R")
    BALANCE = Op(f"{TRADING}inquire-balance", "TTTC8434R")
    finds_by_number = True

    def __init__(self, host: Host, account: Json, markets: dict[str, Market]) -> None:
        self.host, self._account, self._markets = host, account, markets

    def new(self, market: Market, side: Side, qty: int, price: int, tif: Tif) -> tuple[Op, Json]:
        return (self.BUY if side is Side.BUY else self.SELL), {
            **self._account,
            "PDNO": market.code,
            "ORD_DVSN": kind_of(tif),
            "ORD_QTY": market.shares(qty),
            "ORD_UNPR": market.price_text(price),
            "EXCG_ID_DVSN_CD": self.host.exchange,
            "SLL_TYPE": "",
            "CNDT_PRIC": "",
        }

    def revise(
        self, market: Market, number: str, branch: str, kind: str, qty: int, price: int
    ) -> tuple[Op, Json]:
        """All that is open: a cancel where `price` is 0, else an amendment."""
        return self.REVISE, {
            **self._account,
            "KRX_FWDG_ORD_ORGNO": branch,
            "ORGN_ODNO": number,
            "ORD_DVSN": kind,
            "RVSE_CNCL_DVSN_CD": "01" if price else "02",
            "ORD_QTY": market.shares(qty) if price else "0",
            "ORD_UNPR": market.price_text(price) if price else "0",
            "QTY_ALL_ORD_YN": "Y",
            "EXCG_ID_DVSN_CD": self.host.exchange,
        }

    def orders(self, since_ns: int, now_ns: int, number: str = "") -> tuple[Op, Json]:
        """The oldest first, so that what comes meanwhile is added at the end of the last page."""
        return self.ORDERS, {
            **self._account,
            "INQR_STRT_DT": frames.date(max(since_ns, now_ns - LOOK_BACK_NS)),
            "INQR_END_DT": frames.date(now_ns),
            "SLL_BUY_DVSN_CD": "00",
            "INQR_DVSN": "01",
            "PDNO": "",
            "CCLD_DVSN": "00",
            "ORD_GNO_BRNO": "",
            "ODNO": number,
            "INQR_DVSN_1": "",
            "INQR_DVSN_3": "00",
            "EXCG_ID_DVSN_CD": self.host.exchange,
        }

    def open(self, now_ns: int) -> tuple[Op, Json]:
        """What is at work. The virtual host has no list of its own for it."""
        if self.host.virtual:
            op, given = self.orders(now_ns, now_ns)
            return op, {**given, "CCLD_DVSN": "02"}
        return self.OPEN, {**self._account, "INQR_DVSN_1": "0", "INQR_DVSN_2": "0"}

    def rows(self, bodies: Sequence[Json]) -> list[Row]:
        """Those of our markets on this exchange. UnitError for what cannot be read."""
        found = [self._row(row) for body in bodies for row in _listed(body, "output1")]
        return [row for row in found if row is not None]

    def open_numbers(self, bodies: Sequence[Json]) -> dict[str, Json]:
        """The rows of the open orders by number, of this exchange."""
        listed = (
            row for body in bodies for row in _listed(body, "output1" if self.host.virtual else "output")
        )
        return {frames.order_number(row.get("odno")): row for row in listed if self._is_here(row)}

    def is_like(self, row: Json, market: Market, side: Side | None, qty: int, price: int) -> bool:
        """Whether an open order has these terms."""
        terms = (str(row.get("pdno")), market.qty(row.get("ord_qty")), market.price(row.get("ord_unpr")))
        return side is _side(row) and terms == (market.code, qty, price)

    def _is_here(self, row: Json) -> bool:
        exchange = row.get("excg_id_dvsn_cd") or row.get("excg_id_dvsn_Cd") or "KRX"  # both are seen
        return exchange == self.host.exchange and str(row.get("pdno")) in self._markets

    def _row(self, row: Json) -> Row | None:
        if not self._is_here(row):
            return None
        market, day = self._markets[str(row["pdno"])], str(row.get("ord_dt") or "").strip()
        at_ns = frames.moment(day, str(row.get("ord_tmd") or ""))
        told_ns = frames.moment(day, str(row.get("infm_tmd") or "")) if row.get("infm_tmd") else 0
        return Row(
            id=_checked(order_id(day, row.get("odno"))),
            original=order_id(day, row.get("orgn_odno")),
            branch=str(row.get("ord_gno_brno") or ""),
            market=market,
            side=_side(row),
            qty=market.qty(row.get("ord_qty")),
            price=market.price(row.get("ord_unpr")),
            kind=str(row.get("ord_dvsn_cd") or ""),
            filled=market.qty(row.get("tot_ccld_qty")),
            amount=market.amount(row.get("tot_ccld_amt")),
            left=market.qty(row.get("rmn_qty")),
            refused=market.qty(row.get("rjct_qty")),
            is_cancel=row.get("cncl_yn") == "Y",
            at_ns=at_ns,
            told_ns=told_ns,
        )

    def balance(self) -> tuple[Op, Json]:
        return self.BALANCE, {
            **self._account,
            "AFHR_FLPR_YN": "N",
            "OFL_YN": "",
            "INQR_DVSN": "02",
            "UNPR_DVSN": "01",
            "FUND_STTL_ICLD_YN": "N",
            "FNCG_AMT_AUTO_RDPT_YN": "N",
            "PRCS_DVSN": "00",
        }

    def holdings(self, bodies: Sequence[Json]) -> dict[str, Any]:
        """Shares by code."""
        return {str(row.get("pdno")): row.get("hldg_qty") for b in bodies for row in _listed(b, "output1")}

    def money(self, bodies: Sequence[Json]) -> dict[str, Any]:
        """What the account's balance says of its money: the deposit."""
        (row,) = _listed(bodies[-1], "output2")[:1] or [{}]
        return {"KRW": row.get("dnca_tot_amt")}


class Overseas:
    """The United States. Orders cannot be asked for by number, and are limit orders for the day."""

    TRADING = "/uapi/overseas-stock/v1/trading/"
    TIFS = VIRTUAL_TIFS = frozenset({Tif.GTC, Tif.DAY})
    SUFFIX = "200"
    BUY, SELL = Op(f"{TRADING}order", "TTTT1002U", True), Op(f"{TRADING}order", "TTTT1006U", True)
    VIRTUAL_SELL = Op(f"{TRADING}order", "TTTT1001U", True)
    REVISE = Op(f"{TRADING}order-rvsecncl", "TTTT1004U", True)
    ORDERS = Op(f"{TRADING}inquire-ccnl", "TTTS3035R")
    OPEN = Op(f"{TRADING}inquire-nccs", "TTTS3018R")
    BALANCE = Op(f"{TRADING}inquire-balance", "TTTS3012R")
    finds_by_number = False

    def __init__(self, host: Host, account: Json, markets: dict[str, Market]) -> None:
        self.host, self._account, self._markets = host, account, markets

    def new(self, market: Market, side: Side, qty: int, price: int, tif: Tif) -> tuple[Op, Json]:
        sell = self.VIRTUAL_SELL if self.host.virtual else self.SELL
        return (self.BUY if side is Side.BUY else sell), {
            **self._account,
            "OVRS_EXCG_CD": market.place,
            "PDNO": market.code,
            "ORD_QTY": market.shares(qty),
            "OVRS_ORD_UNPR": market.price_text(price),
            "CTAC_TLNO": "",
            "MGCO_APTM_ODNO": "",
            "SLL_TYPE": "" if side is Side.BUY else "00",
            "ORD_SVR_DVSN_CD": "0",
            "ORD_DVSN": kind_of(None if tif in self.TIFS else tif),
        }

    def revise(
        self, market: Market, number: str, branch: str, kind: str, qty: int, price: int
    ) -> tuple[Op, Json]:
        del branch, kind  # domestic requests alone name them
        return self.REVISE, {
            **self._account,
            "OVRS_EXCG_CD": market.place,
            "PDNO": market.code,
            "ORGN_ODNO": number,
            "RVSE_CNCL_DVSN_CD": "01" if price else "02",
            "ORD_QTY": market.shares(qty),
            "OVRS_ORD_UNPR": market.price_text(price) if price else "0",
            "MGCO_APTM_ODNO": "",
            "ORD_SVR_DVSN_CD": "0",
        }

    def orders(self, since_ns: int, now_ns: int, number: str = "") -> tuple[Op, Json]:
        """By the dates of New York. The virtual host lists everything or nothing."""
        del number
        return self.ORDERS, {
            **self._account,
            "PDNO": "" if self.host.virtual else "%",
            "ORD_STRT_DT": frames.date(max(since_ns, now_ns - LOOK_BACK_NS), frames.NEW_YORK),
            "ORD_END_DT": frames.date(now_ns, frames.NEW_YORK),
            "SLL_BUY_DVSN": "00",
            "CCLD_NCCS_DVSN": "00",
            "OVRS_EXCG_CD": "" if self.host.virtual else "%",
            "SORT_SQN": "DS",
            "ORD_DT": "",
            "ORD_GNO_BRNO": "",
            "ODNO": "",
        }

    def open(self, now_ns: int) -> tuple[Op, Json]:  # noqa: ARG002 - the other dialect's does
        return self.OPEN, {**self._account, "OVRS_EXCG_CD": "NASD", "SORT_SQN": "DS"}

    def rows(self, bodies: Sequence[Json]) -> list[Row]:
        found = [self._row(row) for body in bodies for row in _listed(body, "output")]
        return [row for row in found if row is not None]

    def open_numbers(self, bodies: Sequence[Json]) -> dict[str, Json]:
        listed = (row for body in bodies for row in _listed(body, "output"))
        return {frames.order_number(r.get("odno")): r for r in listed if str(r.get("pdno")) in self._markets}

    def is_like(self, row: Json, market: Market, side: Side | None, qty: int, price: int) -> bool:
        terms = (
            str(row.get("pdno")),
            market.qty(row.get("ft_ord_qty")),
            market.price(row.get("ft_ord_unpr3")),
        )
        return side is _side(row) and terms == (market.code, qty, price)

    def _row(self, row: Json) -> Row | None:
        market = self._markets.get(str(row.get("pdno")))
        if market is None:
            return None
        day = str(row.get("dmst_ord_dt") or "").strip()
        is_cancel = str(row.get("rvse_cncl_dvsn") or "").strip() == "02"
        qty = market.qty(row.get("ft_ord_qty"))
        is_refused = bool(str(row.get("rjct_rson_name") or "").strip()) and not is_cancel
        return Row(
            id=_checked(order_id(day, row.get("odno"))),
            original=order_id(day, row.get("orgn_odno")),
            branch=str(row.get("ord_gno_brno") or ""),
            market=market,
            side=_side(row),
            qty=qty,
            price=market.price(row.get("ft_ord_unpr3")),
            kind="00",
            filled=market.qty(row.get("ft_ccld_qty")),
            amount=market.amount(row.get("ft_ccld_amt3")),
            left=market.qty(row.get("nccs_qty")),
            refused=qty if is_refused else 0,
            is_cancel=is_cancel,
            at_ns=frames.moment(day, str(row.get("thco_ord_tmd") or "")),
            told_ns=0,
        )

    def balance(self) -> tuple[Op, Json]:
        return self.BALANCE, {**self._account, "OVRS_EXCG_CD": "NASD", "TR_CRCY_CD": "USD"}

    def holdings(self, bodies: Sequence[Json]) -> dict[str, Any]:
        """Shares by code."""
        listed = (row for body in bodies for row in _listed(body, "output1"))
        return {str(row.get("ovrs_pdno")): row.get("ovrs_cblc_qty") for row in listed}

    def money(self, bodies: Sequence[Json]) -> dict[str, Any]:  # noqa: ARG002 - the other dialect's does
        """Nothing: shares alone are listed."""
        return {}


Dialect = Domestic | Overseas


def kind_of_dialect(host: Host) -> type[Dialect]:
    return Overseas if host.exchange == "US" else Domestic


def dialect_of(host: Host, account: Json, markets: dict[str, Market]) -> Dialect:
    return kind_of_dialect(host)(host, account, markets)


def account_of(keys: Keys) -> Json:
    """The account, as every request names it. ConfigError where it is none."""
    account, _, product = keys.get("account").partition("-")
    if not (account.isdigit() and product.isdigit()):
        raise ConfigError(f'{keys.path}: account must be like "12345678-01"')
    return {"CANO": account, "ACNT_PRDT_CD": product}


def _listed(body: Json, name: str) -> list[Json]:
    """UnitError where an answer that calls itself good has no such list."""
    rows = body.get(name)
    if isinstance(rows, dict):
        rows = [rows]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UnitError(f"an answer without {name}")
    return rows


def _checked(made: str) -> str:
    if not made or made.startswith("-"):
        raise UnitError("a row without a date or a number")
    return made


def _side(row: Json) -> Side:
    """01 and 02 are documented; UnitError for another."""
    match str(row.get("sll_buy_dvsn_cd")):
        case "02":
            return Side.BUY
        case "01":
            return Side.SELL
        case other:
            raise UnitError(f"neither bought nor sold: {other}")
