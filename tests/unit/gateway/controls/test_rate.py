"""The message rate per venue and account."""

from __future__ import annotations

from bestex.clock import SECOND
from bestex.errors import Code
from services.gateway import port as p
from tests.unit.gateway.bench import Bench, accepted, child_cancel
from tests.unit.gateway.controls.controlled import again, code_of, limited

SLOW = "[limits.rate]\nper_second = 2\nburst = 3\n"


def burst(bench: Bench, *names: str, account: str = "default") -> list[Code | None]:
    return [code_of(bench, name, parent_id=name, account=account) for name in names]


def test_a_burst_passes_and_then_so_many_a_second() -> None:
    bench = limited(SLOW)
    assert burst(bench, "a1", "a2", "a3", "a4") == [None, None, None, Code.RATE_LIMITED]
    bench.now += SECOND // 2
    assert burst(bench, "b1", "b2") == [None, Code.RATE_LIMITED]
    bench.now += 10 * SECOND
    assert burst(bench, "c1", "c2", "c3", "c4") == [None, None, None, Code.RATE_LIMITED]


def test_every_account_has_its_own() -> None:
    bench = limited(SLOW)
    burst(bench, "a1", "a2", "a3")
    assert burst(bench, "b1", account="other") == [None]


def test_a_venue_may_have_another_rate() -> None:
    bench = limited(SLOW + "[limits.rates.sim_a]\nper_second = 1\nburst = 1\n")
    assert burst(bench, "a1", "a2") == [None, Code.RATE_LIMITED]


def test_cancels_always_pass() -> None:
    bench = limited(SLOW)
    burst(bench, "a1", "a2", "a3")
    bench.hear(accepted("a1"), child_cancel("a1"))
    assert len(bench.asked(p.Cancel)) == 1


def test_a_restart_forgets_nothing_that_was_sent() -> None:
    bench = limited(SLOW)
    burst(bench, "a1", "a2", "a3")
    assert burst(again(bench), "a4") == [Code.RATE_LIMITED]


def test_the_default_lets_through_what_the_platform_can_sustain() -> None:
    bench = limited("[limits.self_trade]\npolicy = 'off'\n")
    found = set()
    for number in range(3_000):
        found.add(code_of(bench, f"c{number}", parent_id=f"p{number}"))
        bench.now += SECOND // 800
    assert found == {None}
