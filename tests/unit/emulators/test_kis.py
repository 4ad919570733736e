"""KIS as a client of its documented protocol sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bestex.clock import DAY, MINUTE
from bestex.messages import Side
from bestex.sim_wire import State
from tests.emulators import kis_wire as wire
from tests.emulators.faults import Fault
from tests.emulators.kis import Kis
from tests.emulators.server import Key, serve
from tests.unit.emulators.talking_kis import ACCOUNT, DOMESTIC, OVERSEAS, listening, of, quote, us
from tests.waiting import until

USER = Key().passphrase
MONDAY = "2026-11-30T"


@pytest.fixture
async def kis(tmp_path: Path) -> AsyncIterator[Kis]:
    async with serve(Kis(tmp_path, market="none", sessions=False)) as emulator:
        assert isinstance(emulator, Kis)
        yield emulator


@pytest.fixture
async def virtual(tmp_path: Path) -> AsyncIterator[Kis]:
    async with serve(Kis(tmp_path, market="none", sessions=False, virtual=True)) as emulator:
        assert isinstance(emulator, Kis)
        yield emulator


def set_clock(kis: Kis, local: str, exchange: str = "KRX") -> None:
    kis.skew_ns = wire.when(local, exchange) - kis.engine.now_ns()


# -- the door --------------------------------------------------------------------------------------------------


async def test_a_token_is_issued_once_a_minute_and_is_the_same_for_six_hours(kis: Kis) -> None:
    async with of(kis, logged_in=False) as client:
        first = await client.log_in()
        again = {"grant_type": "client_credentials", "appkey": client.key.key, "appsecret": client.key.secret}
        said = await client.post("/oauth2/tokenP", again)
        assert (client.status, said["error_code"]) == (403, "EGW00133")
        kis.skew_ns += MINUTE
        assert await client.log_in() == first
        kis.skew_ns += 6 * 60 * MINUTE
        assert await client.log_in() != first
        said = await client.post("/oauth2/tokenP", {**again, "appsecret": "wrong"})
        assert said["error_code"] == "EGW00105"


async def test_a_request_needs_a_valid_token_and_the_right_account(kis: Kis) -> None:
    async with of(kis, logged_in=False) as client:
        assert (await client.order())["msg_cd"] == "EGW00121"
        await client.log_in()
        assert (await client.order())["rt_cd"] == "0"
        assert (await client.order(CANO="87654321"))["msg_cd"] == "OPSQ2000"
        assert (await client.order(tr_id="VTTC0012U"))["msg_cd"] == "EGW02006"
        kis.skew_ns = DAY
        assert (await client.order())["msg_cd"] == "EGW00123"
        assert client.status == 500
        assert len(kis.engine.orders("default")) == 1


@pytest.mark.parametrize(("is_virtual", "most"), [(False, 20), (True, 2)], ids=["real", "virtual"])
async def test_more_requests_in_a_second_than_are_allowed_are_refused(
    tmp_path: Path, is_virtual: bool, most: int
) -> None:
    async with serve(Kis(tmp_path, market="none", virtual=is_virtual)) as emulator:
        assert isinstance(emulator, Kis)
        set_clock(emulator, MONDAY + "10:00:00")
        emulator.now_ns = lambda: wire.when(MONDAY + "10:00:00")  # type: ignore[method-assign]
        async with of(emulator) as client:
            tr_id = "VTTC8434R" if is_virtual else "TTTC8434R"
            said = [
                await client.ask(f"{DOMESTIC}trading/inquire-balance", tr_id, ACCOUNT)
                for _ in range(most + 2)
            ]
    assert [one["rt_cd"] for one in said] == ["0"] * most + ["1"] * 2
    assert {one["msg_cd"] for one in said[most:]} == {"EGW00201"}
    assert client.status == 500


# -- orders ----------------------------------------------------------------------------------------------------


async def test_an_amendment_and_a_cancel_have_numbers_of_their_own(kis: Kis) -> None:
    async with of(kis) as client:
        first = (await client.order())["output"]["ODNO"]
        kis.engine.submit("other", "005930/KRW", Side.SELL, Decimal(3), Decimal(70_000))
        second = (await client.revise(first, "01", 70_100))["output"]["ODNO"]
        said = await client.revise(first, "02")
        assert (said["rt_cd"], said["msg_cd"]) == ("7", "APBK0344"), "it goes by its new number"
        kis.engine.submit("other", "005930/KRW", Side.SELL, Decimal(2), Decimal(70_100))
        opened = await client.ask(
            f"{DOMESTIC}trading/inquire-psbl-rvsecncl",
            "TTTC0084R",
            {**ACCOUNT, "INQR_DVSN_1": "0", "INQR_DVSN_2": "0"},
        )
        [row] = opened["output"]
        assert (row["odno"], row["orgn_odno"], row["psbl_qty"], row["ord_unpr"]) == (
            second,
            first,
            "5",
            "70100",
        )
        third = (await client.revise(second, "02"))["output"]["ODNO"]
        assert len({first, second, third}) == 3
        rows = await client.rows()
        told = {
            number: (row["ord_qty"], row["tot_ccld_qty"], row["tot_ccld_amt"], row["rmn_qty"], row["cncl_yn"])
            for number, row in rows.items()
        }
        assert told == {
            first: ("10", "3", "210000", "0", "N"),
            second: ("7", "2", "140200", "0", "N"),
            third: ("5", "0", "0", "0", "Y"),
        }
        assert rows[second]["cnc_cfrm_qty"] == "5"
        assert (rows[second]["orgn_odno"], rows[third]["orgn_odno"]) == (first, second)
        said = await client.revise(second, "02")
        assert (said["rt_cd"], said["msg_cd"]) == ("7", "APBK0385")
        [state] = kis.engine.orders("default")
        assert (state.state, state.cum_qty) == (State.CANCELED, 5)


async def test_a_part_is_cancelled_where_not_all_is_named(kis: Kis) -> None:
    async with of(kis) as client:
        number = (await client.order())["output"]["ODNO"]
        assert (await client.revise(number, "02", QTY_ALL_ORD_YN="N", ORD_QTY="4"))["rt_cd"] == "0"
        [state] = kis.engine.open_orders("default")
        assert state.leaves_qty == 6


@pytest.mark.parametrize(
    ("kind", "price", "filled", "rest"),
    [("00", 70_000, "3", "7"), ("11", 70_000, "3", "0"), ("12", 70_000, "0", "0"), ("01", 0, "3", "0")],
    ids=["limit", "IOC", "FOK", "market"],
)
async def test_orders_stay_as_long_as_their_kind_says(
    kis: Kis, kind: str, price: int, filled: str, rest: str
) -> None:
    quote(kis, "KRX", asks=[(70_000, 3)])
    async with of(kis) as client:
        number = (await client.order(price=price, ORD_DVSN=kind))["output"]["ODNO"]
        row = (await client.rows())[number]
        assert (row["tot_ccld_qty"], row["rmn_qty"], row["ord_dvsn_cd"]) == (filled, rest, kind)


@pytest.mark.parametrize(
    ("price", "off"),
    [(1_999, 0), (2_000, 1), (5_000, 5), (20_010, 10), (50_050, 50), (200_100, 100), (500_500, 500)],
)
async def test_prices_are_on_the_table_of_ticks(kis: Kis, price: int, off: int) -> None:
    step = wire.tick_at(price)
    async with of(kis) as client:
        for wrong in (price + 1, price + off) if off else ():
            if wrong % step:
                said = await client.order(price=wrong)
                assert (said["rt_cd"], said["msg_cd"]) == ("7", "APBK0506")
        assert (await client.order(price=price - price % step))["rt_cd"] == "0"


@pytest.mark.parametrize(
    ("exchange", "local", "is_open"),
    [
        ("KRX", MONDAY + "08:59:59", False),
        ("KRX", MONDAY + "09:00:00", True),
        ("KRX", MONDAY + "15:30:00", False),
        ("KRX", "2026-11-29T10:00:00", False),
        ("NXT", MONDAY + "08:00:00", True),
        ("NXT", MONDAY + "08:50:00", False),
        ("NXT", MONDAY + "09:00:29", False),
        ("NXT", MONDAY + "09:00:30", True),
        ("NXT", MONDAY + "15:20:00", False),
        ("NXT", MONDAY + "15:40:00", True),
        ("NXT", MONDAY + "20:00:00", False),
    ],
)
async def test_outside_of_its_hours_an_exchange_takes_nothing(
    tmp_path: Path, exchange: str, local: str, is_open: bool
) -> None:
    async with serve(Kis(tmp_path, market="none")) as emulator:
        assert isinstance(emulator, Kis)
        set_clock(emulator, local)
        async with of(emulator) as client:
            said = await client.order(EXCG_ID_DVSN_CD=exchange)
            assert said["msg_cd"] == ("APBK0013" if is_open else "APBK0919")


async def test_krx_and_nxt_are_two_books_of_one_account(kis: Kis) -> None:
    quote(kis, "KRX", asks=[(70_000, 10)])
    async with of(kis) as client:
        there = (await client.order(EXCG_ID_DVSN_CD="NXT"))["output"]["ODNO"]
        here = (await client.order())["output"]["ODNO"]
        rows = await client.rows()
        assert {n: (r["excg_id_dvsn_cd"], r["tot_ccld_qty"]) for n, r in rows.items()} == {
            there: ("NXT", "0"),
            here: ("KRX", "10"),
        }
        only = await client.daily(EXCG_ID_DVSN_CD="NXT")
        assert [row["odno"] for row in only["output1"]] == [there]
        assert (await client.revise(there, "02", EXCG_ID_DVSN_CD="KRX"))["rt_cd"] != "0"
        assert (await client.revise(there, "02", EXCG_ID_DVSN_CD="NXT"))["rt_cd"] == "0"
        held = await client.ask(f"{DOMESTIC}trading/inquire-balance", "TTTC8434R", ACCOUNT)
        assert [(row["pdno"], row["hldg_qty"]) for row in held["output1"]] == [("005930", "10")]


async def test_long_lists_come_in_pages(kis: Kis) -> None:
    kis.PAGE = {False: 3}
    async with of(kis) as client:
        numbers = [(await client.order(price=60_000 + 100 * i))["output"]["ODNO"] for i in range(7)]
        seen: list[str] = []
        page, following, turns = "", "", 0
        while True:
            body = await client.daily(page=page, next_page=following)
            seen += [row["odno"] for row in body["output1"]]
            turns += 1
            if client.headers["tr_cont"] not in ("M", "F"):
                break
            page, following = "N", body["ctx_area_nk100"]
        assert (seen, turns) == (numbers, 3)
        [row] = (await client.daily(ODNO=numbers[4]))["output1"]
        assert row["ord_unpr"] == "60400"
        assert (await client.daily(CCLD_DVSN="01"))["output1"] == []


async def test_what_an_account_has_not_it_cannot_trade(tmp_path: Path) -> None:
    emulator = Kis(tmp_path, market="none", sessions=False, deposits={"KRW": Decimal(100_000)})
    async with serve(emulator), of(emulator) as client:
        assert (await client.order(qty=2))["msg_cd"] == "APBK0952"
        assert (await client.order(Side.SELL, qty=1))["msg_cd"] == "APBK0400"
        assert (await client.order(qty=1))["rt_cd"] == "0"
        said = await client.ask(f"{DOMESTIC}trading/inquire-balance", "TTTC8434R", ACCOUNT)
        assert said["output2"][0]["dnca_tot_amt"] == "100000"


# -- the United States, and the virtual host -------------------------------------------------------------------


async def test_orders_in_the_united_states_have_paths_and_rows_of_their_own(kis: Kis) -> None:
    trading = f"{OVERSEAS}trading/"
    async with of(kis) as client:
        said = await client.ask(f"{trading}order", "TTTT1002U", us(OVRS_ORD_UNPR="230.105"))
        assert said["msg_cd"] == "APBK0506"
        first = (await client.ask(f"{trading}order", "TTTT1002U", us()))["output"]["ODNO"]
        kis.engines["US"].submit("other", "AAPL/USD", Side.SELL, Decimal(4), Decimal(230))
        change = us(ORGN_ODNO=first, RVSE_CNCL_DVSN_CD="01", OVRS_ORD_UNPR="230.2")
        second = (await client.ask(f"{trading}order-rvsecncl", "TTTT1004U", change))["output"]["ODNO"]
        [row] = (await client.ask(f"{trading}inquire-nccs", "TTTS3018R", us()))["output"]
        assert (row["odno"], row["nccs_qty"], row["ft_ord_unpr3"]) == (second, "6", "230.20000000")
        given = {**ACCOUNT, "PDNO": "%", "ORD_STRT_DT": "20000101", "ORD_END_DT": "20991231", "ODNO": ""}
        rows = (await client.ask(f"{trading}inquire-ccnl", "TTTS3035R", {**given, "SORT_SQN": "DS"}))[
            "output"
        ]
        assert [(r["odno"], r["ft_ccld_qty"], r["ft_ccld_amt3"]) for r in rows] == [
            (first, "4", "920.40000"),
            (second, "0", "0.00000"),
        ]
        held = await client.ask(f"{trading}inquire-balance", "TTTS3012R", us())
        assert [(r["ovrs_pdno"], r["ovrs_cblc_qty"]) for r in held["output1"]] == [("AAPL", "4")]
        stop = us(ORGN_ODNO=second, RVSE_CNCL_DVSN_CD="02")
        assert (await client.ask(f"{trading}order-rvsecncl", "TTTT1004U", stop))["rt_cd"] == "0"
        assert kis.engines["US"].open_orders("default") == []


async def test_the_virtual_host_has_ids_of_its_own_and_no_nxt(virtual: Kis) -> None:
    async with of(virtual) as client:
        assert (await client.order())["msg_cd"] == "EGW02006"
        assert (await client.order(tr_id="VTTC0012U", EXCG_ID_DVSN_CD="NXT"))["msg_cd"] == "APBK1680"
    async with of(virtual, logged_in=False) as client:
        virtual.skew_ns = MINUTE
        await client.log_in()
        assert (await client.order(tr_id="VTTC0012U"))["rt_cd"] == "0"
        async with listening(client) as socket:
            assert (await socket.subscribe("H0STCNI0", USER))["msg_cd"] == "OPSP8991"
            assert (await socket.subscribe("H0STCNI9", USER))["rt_cd"] == "0"


# -- prices, and what goes wrong -------------------------------------------------------------------------------


async def test_books_and_minutes_are_also_asked_for(kis: Kis) -> None:
    quote(kis, "KRX", bids=[(69_900, 5)], asks=[(70_000, 7)])
    quote(kis, "KRX", bids=[(70_000, 2)])
    market = kis.engines["KRX"].markets["005930/KRW"]
    await until(lambda: bool(kis.bars) and market.last_id > 1_000)
    quotations = f"{DOMESTIC}quotations/"
    async with of(kis) as client:
        given = {"FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": "005930"}
        said = await client.ask(f"{quotations}inquire-asking-price-exp-ccn", "FHKST01010200", given)
        book = said["output1"]
        assert (book["askp1"], book["askp_rsqn1"], book["bidp1"], book["bidp_rsqn1"]) == (
            "70000",
            "5",
            "69900",
            "5",
        )
        given |= {"FID_INPUT_HOUR_1": "235959", "FID_PW_DATA_INCU_YN": "N", "FID_ETC_CLS_CODE": ""}
        said = await client.ask(f"{quotations}inquire-time-itemchartprice", "FHKST03010200", given)
        [bar] = said["output2"]
        assert (bar["stck_prpr"], bar["cntg_vol"]) == ("70000", "2")
        given["FID_COND_MRKT_DIV_CODE"] = "NX"
        said = await client.ask(f"{quotations}inquire-time-itemchartprice", "FHKST03010200", given)
        assert said["output2"] == []


@pytest.mark.parametrize(("when", "taken"), [("before", 0), ("after", 1)])
async def test_an_order_whose_answer_is_lost_is_there_or_not(kis: Kis, when: Any, taken: int) -> None:
    async with of(kis) as client:
        kis.faults.add(Fault(how="busy", what="new", when=when))
        said = await client.order()
        assert (client.status, said["msg_cd"]) == (500, "EGW00203")
        assert len(await client.rows()) == taken
        kis.faults.add(Fault(how="rate_limited", what="cancel"), Fault(how="skewed", what="list"))
        assert (await client.revise("1", "02"))["msg_cd"] == "EGW00201"
        assert (await client.daily())["msg_cd"] == "APBK0918"
