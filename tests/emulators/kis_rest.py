"""KIS over HTTP: what it does with orders, and what it tells of them, of accounts and of books."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from aiohttp import web

from bestex.clock import MINUTE
from bestex.config import parse
from bestex.messages import Side
from tests.emulators import kis_orders as orders
from tests.emulators import kis_rows as rows
from tests.emulators import kis_wire as wire
from tests.emulators.engine import Engine, Market
from tests.emulators.kis_door import Asked, Door
from tests.emulators.kis_orders import Numbers, Refused
from tests.emulators.kis_wire import KRX, NXT, US, Json

BARS_MAX = 30  # minutes in one answer
DOMESTIC, OVERSEAS = "/uapi/domestic-stock/v1/", "/uapi/overseas-stock/v1/"
MARKETS = {"J": KRX, "NX": NXT}


class KisRest(Door):
    """`exchange`: whose book `engine` is; all three are served. `sessions`: whether the hours are kept."""

    NAME = "kis_krx"
    PAGE = {False: 100, True: 15}  # noqa: RUF012 - rows in one answer, real and virtual
    US_PAGE = 20

    def __init__(
        self,
        data_dir: Path,
        *,
        exchange: str = KRX,
        virtual: bool = False,
        sessions: bool = True,
        **named: Any,
    ) -> None:
        named.setdefault("config", parse(f'data_dir = "{data_dir}"\n{wire.toml()}'))
        super().__init__(data_dir, virtual=virtual, **named)
        first = self.engine
        make: Callable[[str], Engine] = lambda one: Engine(  # noqa: E731 - said once, of two
            wire.VENUES[one], self.config, deposits=first.deposits, beside=first
        )
        self.engines = {KRX: first, NXT: make(NXT), US: make(US)}
        self.numbers = {one: Numbers(one, engine) for one, engine in self.engines.items()}
        self._first, self.engine = first, self.engines[exchange]
        self.sessions = sessions
        self.late_rows: set[str] = set()  # numbers that the list of the day does not show yet
        self.bars: dict[tuple[str, str], dict[int, list[Decimal]]] = {}

    def exchange_of(self, engine: Engine) -> str:
        return next(one for one, its in self.engines.items() if its is engine)

    async def start(self, port: int = 0) -> None:
        chosen, self.engine = self.engine, self._first  # which starts all three
        await super().start(port)
        self.engine = chosen

    async def stop(self) -> None:
        self.engine = self._first
        await super().stop()

    def routes(self) -> Iterable[web.RouteDef]:
        trading, overseas = f"{DOMESTIC}trading/", f"{OVERSEAS}trading/"
        us_sell = "TTTT1001U" if self.virtual else "TTTT1006U"
        return [
            web.post("/oauth2/tokenP", self._token),
            web.post("/oauth2/Approval", self._approval),
            web.post(f"{trading}order-cash", self.private({"TTTC0012U", "TTTC0011U"}, self._order)),
            web.post(f"{trading}order-rvsecncl", self.private({"TTTC0013U"}, self._revise)),
            web.get(f"{trading}inquire-daily-ccld", self.private({"TTTC0081R"}, self._daily)),
            web.get(f"{trading}inquire-psbl-rvsecncl", self.private({"TTTC0084R"}, self._open)),
            web.get(f"{trading}inquire-balance", self.private({"TTTC8434R"}, self._balance)),
            web.post(f"{overseas}order", self.private({"TTTT1002U", us_sell}, self._us_order)),
            web.post(f"{overseas}order-rvsecncl", self.private({"TTTT1004U"}, self._us_revise)),
            web.get(f"{overseas}inquire-nccs", self.private({"TTTS3018R"}, self._us_open)),
            web.get(f"{overseas}inquire-ccnl", self.private({"TTTS3035R"}, self._us_daily)),
            web.get(f"{overseas}inquire-balance", self.private({"TTTS3012R"}, self._us_balance)),
            web.get(
                f"{DOMESTIC}quotations/inquire-asking-price-exp-ccn",
                self.private({"FHKST01010200"}, self._asking_price),
            ),
            web.get(
                f"{DOMESTIC}quotations/inquire-time-itemchartprice",
                self.private({"FHKST03010200"}, self._minutes),
            ),
        ]

    def _check_hours(self, exchange: str) -> None:
        if self.sessions and not wire.is_open(exchange, self.now_ns()):
            if self.virtual:
                raise Refused("40580000", "모의투자 장종료 입니다.", rt_cd="1")
            raise Refused("APBK0919", "장운영시간이 아닙니다.", rt_cd="7")

    # -- domestic orders ---------------------------------------------------------------------------------------

    def _domestic(self, given: Json) -> Numbers:
        exchange = given.get("EXCG_ID_DVSN_CD", KRX)
        if exchange == "SOR":
            exchange = KRX
        if exchange not in (KRX, NXT) or (self.virtual and exchange != KRX):
            raise Refused("APBK1680", "거래소구분을 확인하십시오.", rt_cd="7")
        return self.numbers[exchange]

    def _order(self, asked: Asked) -> Json:
        numbers = self._domestic(asked.given)
        self._check_hours(numbers.exchange)
        side = Side.BUY if asked.tr_id == "TTTC0012U" else Side.SELL
        state = orders.place(numbers, asked.key.account, asked.given, side, virtual=self.virtual)
        return self._ordered(numbers.links(state)[0].number)

    def _revise(self, asked: Asked) -> Json:
        number = str(asked.given.get("ORGN_ODNO", ""))
        for exchange in (KRX, NXT):
            numbers = self.numbers[exchange]
            if numbers.find(asked.key.account, number) is not None:
                if asked.given.get("EXCG_ID_DVSN_CD", exchange) not in (exchange, "SOR"):
                    break
                self._check_hours(exchange)
                return self._ordered(
                    orders.revise(numbers, asked.key.account, asked.given, self.now_ns()).number
                )
        raise Refused("APBK0344", "원주문번호가 존재하지 않습니다.", rt_cd="7")

    def _ordered(self, number: str) -> Json:
        return {
            "msg_cd": "APBK0013",
            "msg1": "주문 전송 완료 되었습니다.",
            "output": {
                "KRX_FWDG_ORD_ORGNO": wire.FORWARDING,
                "ODNO": number,
                "ORD_TMD": wire.hour(self.now_ns()),
            },
        }

    def _daily(self, asked: Asked) -> tuple[Json, dict[str, str]]:
        given = asked.given
        chosen = given.get("EXCG_ID_DVSN_CD", "ALL")
        found = [
            rows.daily_row(exchange, row)
            for exchange in (KRX, NXT)
            if chosen in (exchange, "ALL", "SOR", "")
            for row in orders.rows(self.numbers[exchange], asked.key.account)
            if rows.wanted(given, row) and row.link.number not in self.late_rows
        ]
        found.sort(key=lambda row: (row["ord_dt"], row["ord_tmd"], row["odno"]), reverse=True)
        if given.get("INQR_DVSN") == "01":  # 00 the newest first, 01 the oldest
            found.reverse()
        page, body, headers = self._page(asked, found, self.PAGE[self.virtual], "100")
        total = sum(Decimal(row["tot_ccld_amt"]) for row in found)
        summary = {"tot_ord_qty": str(sum(int(row["ord_qty"]) for row in found)), "tot_ccld_amt": str(total)}
        return {"output1": page, "output2": summary, **body}, headers

    def _open(self, asked: Asked) -> tuple[Json, dict[str, str]]:
        found = [
            rows.open_row(exchange, row)
            for exchange in (KRX, NXT)
            for row in orders.rows(self.numbers[exchange], asked.key.account)
            if row.left
        ]
        page, body, headers = self._page(asked, found, 50, "100")
        return {"output": page, **body}, headers

    def _page(
        self, asked: Asked, found: list[Json], size: int, suffix: str
    ) -> tuple[list[Json], Json, dict[str, str]]:
        """The page that is asked for, what leads to the next, and whether there is one (tr_cont)."""
        start = 0
        if asked.next_page:
            given = asked.given.get(f"CTX_AREA_NK{suffix}", "").strip()
            if not given.isdigit():
                raise Refused("OPSQ2001", "ERROR : INPUT FIELD NOT FOUND [CTX_AREA_NK]", rt_cd="2")
            start = int(given)
        more = start + size < len(found)
        following = str(start + size) if more else ""
        body = {f"ctx_area_fk{suffix}": "filter", f"ctx_area_nk{suffix}": following.ljust(int(suffix))}
        return found[start : start + size], body, {"tr_cont": "M" if more else "D"}

    def _holdings(self, account: str, exchanges: Iterable[str]) -> tuple[dict[Market, Decimal], Decimal]:
        """Shares by market of the first of `exchanges` that lists them, and cash."""
        held: dict[str, Decimal] = {}
        cash = Decimal(0)
        markets: dict[str, Market] = {}
        for place, exchange in enumerate(exchanges):
            engine = self.engines[exchange]
            total = engine.holdings(account)
            for market in engine.markets.values():
                markets.setdefault(market.base, market)
                free, locked = total.get(market.base, (Decimal(0), Decimal(0)))
                start = (engine.deposits or {}).get(market.base, Decimal(0)) if place else Decimal(0)
                held[market.base] = held.get(market.base, Decimal(0)) + free + locked - start
            quote = next(iter(engine.markets.values())).quote
            start = (engine.deposits or {}).get(quote, Decimal(0)) if place else Decimal(0)
            cash += sum(total.get(quote, (Decimal(0), Decimal(0)))) - start
        return {markets[code]: qty for code, qty in held.items() if qty}, cash

    def _balance(self, asked: Asked) -> tuple[Json, dict[str, str]]:
        held, cash = self._holdings(asked.key.account, (KRX, NXT))
        listed = [
            {
                "pdno": market.base,
                "prdt_name": market.base,
                "trad_dvsn_name": "현금",
                "hldg_qty": str(int(qty)),
                "ord_psbl_qty": str(int(qty)),
            }
            for market, qty in held.items()
        ]
        page, body, headers = self._page(asked, listed, 50, "100")
        summary = {"dnca_tot_amt": wire.number(cash), "nxdy_excc_amt": wire.number(cash)}
        return {"output1": page, "output2": [summary], **body}, headers

    # -- the United States -------------------------------------------------------------------------------------

    def _us_order(self, asked: Asked) -> Json:
        self._check_hours(US)
        side = Side.BUY if asked.tr_id == "TTTT1002U" else Side.SELL
        state = orders.place(self.numbers[US], asked.key.account, asked.given, side, virtual=self.virtual)
        return self._ordered(self.numbers[US].links(state)[0].number)

    def _us_revise(self, asked: Asked) -> Json:
        self._check_hours(US)
        return self._ordered(
            orders.revise(self.numbers[US], asked.key.account, asked.given, self.now_ns()).number
        )

    def _us_open(self, asked: Asked) -> tuple[Json, dict[str, str]]:
        listed = [rows.us_row(row) for row in orders.rows(self.numbers[US], asked.key.account) if row.left]
        page, body, headers = self._page(asked, listed, self.US_PAGE, "200")
        return {"output": page, **body}, headers

    def _us_daily(self, asked: Asked) -> tuple[Json, dict[str, str]]:
        given = asked.given
        if given.get("ODNO"):
            raise Refused("OPSQ2002", "ERROR : INVALID INPUT_FILED [ODNO]", rt_cd="2")
        code = given.get("PDNO", "").replace("%", "")
        listed = [
            rows.us_row(row)
            for row in orders.rows(self.numbers[US], asked.key.account)
            if code in ("", row.market.base)
            and given.get("ORD_STRT_DT", "")
            <= wire.date(row.link.at_ns, wire.NEW_YORK)
            <= given.get("ORD_END_DT", "9")
        ]
        if given.get("SORT_SQN") != "DS":
            listed.reverse()
        page, body, headers = self._page(asked, listed, self.US_PAGE, "200")
        return {"output": page, **body}, headers

    def _us_balance(self, asked: Asked) -> tuple[Json, dict[str, str]]:
        held, _ = self._holdings(asked.key.account, (US,))
        listed = [
            {
                "ovrs_pdno": market.base,
                "ovrs_cblc_qty": str(int(qty)),
                "ord_psbl_qty": str(int(qty)),
                "ovrs_excg_cd": wire.US_EXCHANGES[market.base],
                "tr_crcy_cd": "USD",
            }
            for market, qty in held.items()
        ]
        page, body, headers = self._page(asked, listed, self.US_PAGE, "200")
        return {"output1": page, "output2": {}, **body}, headers

    # -- prices ------------------------------------------------------------------------------------------------

    def _quoted(self, given: Json) -> tuple[str, Market]:
        exchange = MARKETS.get(given.get("FID_COND_MRKT_DIV_CODE", ""), "")
        for market in self.engines[exchange].markets.values() if exchange else ():
            if market.base == given.get("FID_INPUT_ISCD"):
                return exchange, market
        raise Refused("OPSQ2001", "ERROR : INPUT FIELD NOT FOUND [FID_INPUT_ISCD]", rt_cd="2")

    def _asking_price(self, asked: Asked) -> Json:
        _, market = self._quoted(asked.given)
        snapshot = market.snapshot(wire.LEVELS)
        output: Json = {"aspr_acpt_hour": wire.hour(self.now_ns())}
        for name, levels in (("askp", snapshot.asks), ("bidp", snapshot.bids)):
            for place in range(wire.LEVELS):
                price, qty = levels[place] if place < len(levels) else (Decimal(0), Decimal(0))
                output[f"{name}{place + 1}"] = wire.number(price)
                output[f"{name}_rsqn{place + 1}"] = wire.number(qty)
        return {"output1": output, "output2": {"stck_shrn_iscd": market.base}}

    def _minutes(self, asked: Asked) -> Json:
        """Up to 30 minutes until the asked one, the newest first; of today."""
        exchange, market = self._quoted(asked.given)
        until = asked.given.get("FID_INPUT_HOUR_1", "")
        today = wire.date(self.now_ns())
        listed: list[Json] = []
        for minute, (first, high, low, last, volume) in sorted(
            self.bars.get((exchange, market.symbol), {}).items(), reverse=True
        ):
            start_ns = minute * MINUTE
            if wire.date(start_ns) == today and wire.hour(start_ns) <= until and len(listed) < BARS_MAX:
                listed.append(
                    {
                        "stck_bsop_date": today,
                        "stck_cntg_hour": wire.hour(start_ns),
                        "stck_oprc": wire.number(first),
                        "stck_hgpr": wire.number(high),
                        "stck_lwpr": wire.number(low),
                        "stck_prpr": wire.number(last),
                        "cntg_vol": wire.number(volume),
                    }
                )
        return {"output1": {"hts_kor_isnm": market.base}, "output2": listed}
