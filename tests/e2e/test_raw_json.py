"""A client that knows nothing of the library: bare nats-py and json, as any language would do it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import nats
import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.e2e.conftest import Platform

ROOT = "bestex.v1"
SECONDS_MAX = 20.0


class Raw:
    """Publishes orders and keeps whatever is said about them."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self._news = asyncio.Event()

    async def listen(self) -> None:
        for head in ("parent", "route", "child", "exec", "fill", "metrics.tca"):
            await self.client.subscribe(f"{ROOT}.{head}.>", cb=self._hear)

    async def _hear(self, message: Msg) -> None:
        self.heard.append((message.subject, json.loads(message.data)))
        self._news.set()

    async def publish(self, subject: str, body: Any) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        await self.client.jetstream().publish(f"{ROOT}.{subject}", data)

    async def wait_for(self, subject_part: str) -> dict[str, Any]:
        try:
            async with asyncio.timeout(SECONDS_MAX):
                while True:
                    for subject, body in self.heard:
                        if subject_part in subject:
                            return body
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            said = "\n".join(f"{subject} {body}" for subject, body in self.heard)
            raise AssertionError(f"no {subject_part} within {SECONDS_MAX} s; heard:\n{said}") from None

    def of(self, head: str, parent_id: str) -> list[dict[str, Any]]:
        return [
            body
            for subject, body in self.heard
            if subject.startswith(f"{ROOT}.{head}.") and body.get("parent_id") == parent_id
        ]


@pytest_asyncio.fixture
async def raw(platform: Platform) -> AsyncIterator[Raw]:
    client = await nats.connect(platform.url, nkeys_seed=platform.credentials)
    made = Raw(client)
    await made.listen()
    yield made
    await client.close()


async def test_an_order_is_accepted_worked_and_reported(raw: Raw) -> None:
    await raw.publish("order.new.market.BTC-USDT", {"parent_id": "raw-1", "side": "buy", "qty": "0.8"})
    done = await raw.wait_for("parent.BTC-USDT.raw-1.done")
    assert (done["reason"], done["cum_qty"], done["leaves_qty"]) == ("filled", "0.8", "0")
    fills = raw.of("fill", "raw-1")
    assert sum(Decimal(fill["qty"]) for fill in fills) == Decimal("0.8")
    assert sum(Decimal(fill["qty"]) * Decimal(fill["price"]) for fill in fills) == Decimal(done["notional"])
    assert sum(Decimal(fill["fee"]) for fill in fills) == Decimal(done["fees"])
    assert [event["event"] for event in raw.of("parent", "raw-1")][:2] == ["accepted", "sliced"]
    decided = raw.of("route", "raw-1")[0]
    assert {leg["child_id"] for leg in decided["legs"]} <= {
        child["child_id"] for child in raw.of("child", "raw-1")
    }
    assert len(decided["legs"]) + len(decided["left_out"]) == 4
    tca = await raw.wait_for("metrics.tca.raw-1")
    assert tca["cum_qty"].startswith("0.8")


async def test_a_running_order_is_paused_resumed_modified_and_cancelled(raw: Raw) -> None:
    body = {"parent_id": "raw-2", "side": "sell", "qty": "1", "limit_price": "90000"}
    await raw.publish("order.new.limit.BTC-USDT", body)
    await raw.wait_for("parent.BTC-USDT.raw-2.sliced")
    await raw.publish("order.pause.limit.BTC-USDT.raw-2", {})
    await raw.wait_for("parent.BTC-USDT.raw-2.paused")
    await raw.wait_for("parent.BTC-USDT.raw-2.settled")
    await raw.publish("order.resume.limit.BTC-USDT.raw-2", {})
    await raw.wait_for("parent.BTC-USDT.raw-2.resumed")
    await raw.publish("order.modify.limit.BTC-USDT.raw-2", {"limit_price": "91000", "qty": "0.7"})
    modified = await raw.wait_for("parent.BTC-USDT.raw-2.modified")
    assert (modified["order"]["limit_price"], modified["order"]["qty"]) == ("91000", "0.7")
    await raw.wait_for("route.BTC-USDT.raw-2.3.decided")
    assert raw.of("parent", "raw-2")[-1]["leaves_qty"] == "0.7"
    await raw.publish("order.cancel.limit.BTC-USDT.raw-2", {"reason": "enough"})
    done = await raw.wait_for("parent.BTC-USDT.raw-2.done")
    assert (done["reason"], done["cum_qty"]) == ("canceled", "0")
    submitted = {e["child_id"] for e in raw.of("exec", "raw-2") if e["event"] == "submitting"}
    ended = {e["child_id"] for e in raw.of("exec", "raw-2") if e["event"] == "canceled"}
    assert submitted == ended


BAD: list[tuple[str, str, Any, str]] = [
    ("unknown field", "twap.BTC-USDT", {"side": "buy", "qty": "1", "size": 1}, "unknown_field"),
    ("wrong type", "twap.BTC-USDT", {"side": "buy", "qty": {}}, "wrong_type"),
    ("NaN", "twap.BTC-USDT", b'{"side":"buy","qty":NaN}', "not_finite"),
    ("Infinity", "twap.BTC-USDT", {"side": "buy", "qty": "Infinity"}, "not_finite"),
    ("off the lot", "twap.BTC-USDT", {"side": "buy", "qty": "0.0000001"}, "off_lot"),
    ("below the minimum", "twap.BTC-USDT", {"side": "buy", "qty": "0.00001"}, "below_minimum"),
    ("nothing", "twap.BTC-USDT", {"side": "buy", "qty": "0"}, "invalid_qty"),
    ("unknown algo", "vwop.BTC-USDT", {"side": "buy", "qty": "1"}, "unknown_algo"),
    ("unknown symbol", "twap.XRP-USDT", {"side": "buy", "qty": "1"}, "unknown_symbol"),
    ("unknown venue", "twap.BTC-USDT", {"side": "buy", "qty": "1", "venues": ["nyse"]}, "unknown_venue"),
    (
        "expired",
        "twap.BTC-USDT",
        {"side": "buy", "qty": "1", "expires_at": "2020-01-01T00:00:00Z"},
        "expired",
    ),
    ("no json", "twap.BTC-USDT", b"\x00\xff", "malformed"),
]


@pytest.mark.parametrize(("what", "where", "body", "code"), BAD, ids=[row[0] for row in BAD])
async def test_bad_input_gets_one_rejection_with_its_code_on_the_bus(
    raw: Raw, what: str, where: str, body: Any, code: str
) -> None:
    parent_id = "bad-" + what.replace(" ", "-")
    if isinstance(body, dict):
        body = {**body, "parent_id": parent_id}
    await raw.publish(f"order.new.{where}", body)
    rejected = await raw.wait_for(".rejected")
    assert rejected["code"] == code
    assert len(rejected["text"]) > 10
    if isinstance(body, dict):
        assert rejected["parent_id"] == parent_id
    # An order after it is worked: nothing crashed, and only one rejection came.
    await raw.publish(
        "order.new.market.ETH-USDT", {"parent_id": f"{parent_id}-ok", "side": "buy", "qty": "0.5"}
    )
    await raw.wait_for(f"parent.ETH-USDT.{parent_id}-ok.done")
    assert sum(".rejected" in subject for subject, _ in raw.heard) == 1


async def test_a_duplicate_id_with_another_body_is_refused_and_the_same_body_is_a_retry(raw: Raw) -> None:
    body = {"parent_id": "raw-3", "side": "buy", "qty": "0.1"}
    await raw.publish("order.new.market.BTC-USDT", body)
    await raw.wait_for("parent.BTC-USDT.raw-3.done")
    await raw.publish("order.new.market.BTC-USDT", body)
    await raw.publish("order.new.market.BTC-USDT", {**body, "qty": "0.2"})
    rejected = await raw.wait_for("parent.BTC-USDT.raw-3.rejected")
    assert rejected["code"] == "duplicate_id"
    assert sum(event["event"] == "accepted" for event in raw.of("parent", "raw-3")) == 1
