"""The way to the exchange: late, and never out of order."""

from __future__ import annotations

import asyncio

from services.exchange.delay import DelayLine

DELAY_S = 0.005


async def test_everything_arrives_in_the_order_in_which_it_was_sent() -> None:
    line, seen = DelayLine(lambda: DELAY_S), list[int]()
    for number in range(100):
        line.send(lambda number=number: seen.append(number))  # type: ignore[misc]
    await line.travel()
    assert seen == list(range(100))


async def test_nothing_arrives_early() -> None:
    line, loop = DelayLine(lambda: DELAY_S), asyncio.get_running_loop()
    begin = loop.time()
    await line.travel()
    assert loop.time() - begin >= DELAY_S


async def test_without_a_delay_it_arrives_at_once() -> None:
    line, seen = DelayLine(lambda: 0), list[int]()
    line.send(lambda: seen.append(1))
    assert seen == [1]


async def test_what_is_sent_during_a_delivery_still_arrives() -> None:
    line, seen = DelayLine(lambda: DELAY_S), list[str]()

    def first() -> None:
        seen.append("first")
        line.send(lambda: seen.append("second"))

    line.send(first)
    await line.travel()
    await line.travel()
    assert seen == ["first", "second"]


async def test_what_is_faster_does_not_overtake_what_was_sent_before() -> None:
    delays = iter((DELAY_S, 0.0, 0.0))
    line, seen = DelayLine(lambda: next(delays)), list[str]()
    line.send(lambda: seen.append("slow"))
    line.send(lambda: seen.append("fast"))
    assert seen == []
    await line.travel()
    assert seen == ["slow", "fast"]
