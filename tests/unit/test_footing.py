"""Nothing leaves a process that does not know whether it is still the one at its work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bestex import footing, log
from bestex.clock import SECOND, AffineClock
from bestex.errors import BusError, Fenced
from bestex.footing import Footing


class Client:
    """As much of a connection as is looked at."""

    is_connected = True


class Clock(AffineClock):
    """A clock that stands where the test puts it: a slow machine is no freeze."""

    at_ns = 0

    def now_ns(self) -> int:
        return type(self).at_ns


class Ground:
    def __init__(self) -> None:
        self.client = Client()
        self.checks = 0
        self.error: Exception | None = None
        self.ended: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self.told: list[str] = []
        self.footing = Footing(
            self.client,  # type: ignore[arg-type]
            Clock(),
            log.configure("test"),
            check=self.check,
            epoch=lambda _: 0,
            fail=self.fail,
            lost=lambda: self.told.append("lost"),
            back=lambda: self.told.append("back"),
        )

    async def check(self) -> None:
        self.checks += 1
        if self.error is not None:
            raise self.error

    def fail(self, error: Exception) -> None:
        if not self.ended.done():
            self.ended.set_result(error)

    async def told_of(self, what: str) -> None:
        async with asyncio.timeout(10):
            while what not in self.told:  # noqa: ASYNC110 - a beat sets no event
                await asyncio.sleep(0.01)


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    Clock.at_ns = 0
    made = Ground()
    yield made
    made.footing.stop()


async def test_the_bus_is_asked_before_the_first_thing_leaves_and_then_no_more(ground: Ground) -> None:
    assert not ground.footing.is_sure()
    await ground.footing.confirmed()
    assert ground.footing.is_sure()
    asked = ground.checks
    await ground.footing.confirmed()
    assert await ground.footing.may_send()
    assert ground.checks == asked == 1


async def test_what_the_bus_has_just_said_is_not_asked_again_at_the_start(ground: Ground) -> None:
    ground.footing.start(ground.footing.asks())
    assert await ground.footing.may_send()
    assert ground.checks == 0


@pytest.mark.parametrize("what", ["stood still", "was cut off"])
async def test_what_it_said_before_a_freeze_or_a_cut_is(ground: Ground, what: str) -> None:
    asked = ground.footing.asks()
    if what == "stood still":
        Clock.at_ns = 2 * SECOND
    else:
        ground.footing.doubt()
    ground.footing.start(asked)
    assert not ground.footing.is_sure()
    assert await ground.footing.may_send()
    assert ground.checks == 1


async def test_after_a_freeze_the_bus_is_asked_before_anything_leaves(ground: Ground) -> None:
    await ground.footing.confirmed()
    Clock.at_ns = 2 * SECOND  # whoever runs first does so before any beat
    assert not ground.footing.is_sure()
    await ground.footing.confirmed()
    assert ground.checks == 2


async def test_one_that_has_lost_its_work_lets_nothing_out_and_ends(ground: Ground) -> None:
    await ground.footing.confirmed()
    ground.error = Fenced("another claimed it")
    ground.footing.doubt()
    with pytest.raises(Fenced):
        await ground.footing.confirmed()
    assert not await ground.footing.may_send()
    assert await ground.ended is ground.error


async def test_a_bus_that_cannot_say_is_asked_again(ground: Ground) -> None:
    ground.error = BusError("not yet")
    waiting = asyncio.create_task(ground.footing.confirmed())
    async with asyncio.timeout(10):
        while ground.checks < 2:  # noqa: ASYNC110 - a beat sets no event
            await asyncio.sleep(0.01)
    assert not waiting.done()
    ground.error = None
    await asyncio.wait_for(waiting, 10)


async def test_while_the_bus_is_away_nothing_is_sent_and_its_return_is_told_when_all_is_confirmed(
    ground: Ground,
) -> None:
    ground.footing.start()
    await ground.footing.confirmed()
    ground.client.is_connected = False
    assert not await ground.footing.may_send()
    await ground.told_of("lost")
    ground.error = BusError("not yet")
    ground.client.is_connected = True
    await asyncio.sleep(3 * footing.BEAT_S)
    assert not await ground.footing.may_send()
    assert ground.told == ["lost"]
    ground.error = None
    await ground.told_of("back")
    assert await ground.footing.may_send()


async def test_a_process_whose_bus_stays_away_ends(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footing, "GIVE_UP_S", 3 * footing.BEAT_S)
    ground.footing.start()
    ground.client.is_connected = False
    async with asyncio.timeout(10):
        while not ground.ended.done():
            Clock.at_ns += SECOND // 20
            await asyncio.sleep(footing.BEAT_S)
    assert "has been away" in str(ground.ended.result())
