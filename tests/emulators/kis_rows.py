"""The rows of KIS's lists of orders, domestic and of the United States."""

from __future__ import annotations

from decimal import Decimal

from bestex import sim_wire as w
from bestex.messages import Side
from tests.emulators import kis_wire as wire
from tests.emulators.kis_orders import Row
from tests.emulators.kis_wire import Json


def wanted(given: Json, row: Row) -> bool:
    day = wire.date(row.link.at_ns)
    sides = {"01": Side.SELL, "02": Side.BUY}
    number = given.get("ODNO", "")
    filled = {"01": row.filled > 0, "02": row.left > 0}.get(given.get("CCLD_DVSN", "00"), True)
    return (
        filled
        and given.get("INQR_STRT_DT", "") <= day <= given.get("INQR_END_DT", "9")
        and given.get("PDNO", "") in ("", row.market.base)
        and sides.get(given.get("SLL_BUY_DVSN_CD", "00"), row.state.side) is row.state.side
        and number.rjust(10, "0") in ("0" * 10, row.link.number)
    )


def daily_row(exchange: str, row: Row) -> Json:
    link, side = row.link, row.state.side
    is_cancel = link.kind == "cancel"
    gone = Decimal(0) if is_cancel else link.qty - row.filled - row.left - row.refused
    return {
        "ord_dt": wire.date(link.at_ns),
        "ord_gno_brno": wire.BRANCH,
        "odno": link.number,
        "orgn_odno": link.of,
        "sll_buy_dvsn_cd": wire.side_code(side),
        "pdno": row.market.base,
        "ord_qty": wire.number(link.qty),
        "ord_unpr": wire.number(link.price),
        "ord_tmd": wire.hour(link.at_ns),
        "infm_tmd": wire.hour(row.told_ns),
        "tot_ccld_qty": wire.number(row.filled),
        "tot_ccld_amt": wire.number(row.amount),
        "avg_prvs": wire.number(round(row.average, 4)),
        "cncl_yn": "Y" if is_cancel else "N",
        "cnc_cfrm_qty": wire.number(gone),
        "rmn_qty": wire.number(row.left),
        "rjct_qty": wire.number(row.refused),
        "ord_dvsn_cd": link.ord_dvsn,
        "excg_dvsn_cd": "02",
        "excg_id_dvsn_cd": exchange,
    }


def open_row(exchange: str, row: Row) -> Json:
    link = row.link
    return {
        "ord_gno_brno": wire.BRANCH,
        "odno": link.number,
        "orgn_odno": link.of,
        "pdno": row.market.base,
        "ord_qty": wire.number(link.qty),
        "ord_unpr": wire.number(link.price),
        "ord_tmd": wire.hour(link.at_ns),
        "tot_ccld_qty": wire.number(row.filled),
        "tot_ccld_amt": wire.number(row.amount),
        "psbl_qty": wire.number(row.left),
        "sll_buy_dvsn_cd": wire.side_code(row.state.side),
        "ord_dvsn_cd": link.ord_dvsn,
        "excg_id_dvsn_cd": exchange,
    }


def us_row(row: Row) -> Json:
    """`ord_dt` and `ord_tmd` are of New York, `dmst_ord_dt` and `thco_ord_tmd` of Seoul."""
    link, state = row.link, row.state
    status = "완료" if not row.left else "접수"
    if state.state is w.State.REJECTED:
        status = "거부"
    return {
        "ord_dt": wire.date(link.at_ns, wire.NEW_YORK),
        "ord_gno_brno": wire.BRANCH,
        "odno": link.number,
        "orgn_odno": link.of,
        "sll_buy_dvsn_cd": wire.side_code(state.side),
        "rvse_cncl_dvsn": {"new": "00", "amend": "01", "cancel": "02"}[link.kind],
        "pdno": row.market.base,
        "ft_ord_qty": wire.number(link.qty),
        "ft_ord_unpr3": f"{link.price:.8f}",
        "ft_ccld_qty": wire.number(row.filled),
        "ft_ccld_unpr3": f"{row.average:.8f}",
        "ft_ccld_amt3": f"{row.amount:.5f}",
        "nccs_qty": wire.number(row.left),
        "prcs_stat_name": status,
        "rjct_rson_name": state.text if state.state is w.State.REJECTED else "",
        "ord_tmd": wire.hour(link.at_ns, wire.NEW_YORK),
        "tr_crcy_cd": "USD",
        "ovrs_excg_cd": wire.US_EXCHANGES[row.market.base],
        "dmst_ord_dt": wire.date(link.at_ns),
        "thco_ord_tmd": wire.hour(link.at_ns),
    }
