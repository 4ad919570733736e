"""The dead-man switch of a venue, where a gateway is killed and its orders are left behind."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from bestex.children import die_with_parent
from bestex.clock import SECOND
from bestex.sim_wire import State
from services.gateway.core import DEAD_MAN_NS
from tests.contract.rigs import BINANCE_PERP, BYBIT_PERP, BYBIT_SPOT, OKX_SPOT, Rig
from tests.emulators.bybit import Bybit
from tests.emulators.server import serve
from tests.waiting import until

QUICKER = 10  # the venue's countdown; else each of these would take half a minute


@pytest.mark.parametrize("rig", [BINANCE_PERP, BYBIT_SPOT, BYBIT_PERP, OKX_SPOT], ids=str)
async def test_a_killed_gateway_leaves_no_order_at_work(rig: Rig, tmp_path: Path) -> None:
    async with serve(rig.make(tmp_path / "venue", market="none", deposits=rig.deposits)) as emulator:
        armed: list[int] = []
        arm = emulator.engine.cancel_all_after

        def quicker(account: str, timeout_ns: int) -> None:
            armed.append(timeout_ns)
            arm(account, timeout_ns // QUICKER)

        emulator.engine.cancel_all_after = quicker  # type: ignore[method-assign]
        command = [sys.executable, "-m", "tests.contract.armed", str(rig), emulator.url, str(tmp_path)]
        gateway = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, preexec_fn=die_with_parent()
        )
        assert gateway.stdout is not None
        try:
            async with asyncio.timeout(60):
                working = 0
                while working < 3:  # so long that a switch which is set once would have been thrown
                    working += await gateway.stdout.readline() == b"working\n"
            state = emulator.engine.order("default", client_id="c1")
            assert state is not None
            assert state.state is State.OPEN
            if isinstance(emulator, Bybit):  # its switch is its private stream, and waits when that has gone
                assert list(emulator.windows_s.values()) == [DEAD_MAN_NS // SECOND]
                for one in emulator.windows_s:
                    emulator.windows_s[one] //= QUICKER
            else:
                assert set(armed) == {DEAD_MAN_NS}
                assert len(armed) > 1
        finally:
            gateway.kill()
            await gateway.wait()
        await until(lambda: _canceled(emulator))


def _canceled(emulator: Any) -> bool:
    return bool(emulator.engine.order("default", client_id="c1").state is State.CANCELED)
