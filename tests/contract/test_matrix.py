"""MATRIX.md says what every failure of a request becomes at every venue; here it is played, and must be so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract import matrix
from tests.contract.live import Live
from tests.contract.rigs import BY_REST, Rig, desk_of

SAID = matrix.read(matrix.PAGE.read_text())


@pytest.mark.parametrize(("rig", "request_"), matrix.PLAYED, ids=lambda one: str(one))
async def test_a_failure_becomes_what_the_page_says(rig: Rig, request_: str, tmp_path: Path) -> None:
    became = await matrix.play(rig, request_, tmp_path)
    said = SAID[str(rig), request_]
    assert {str(cell): word for cell, word in became.items()} == {str(cell): said[cell] for cell in said}


def test_the_page_has_every_venue_and_nothing_else() -> None:
    assert set(SAID) == {(str(rig), request) for rig, request in matrix.PLAYED}
    assert matrix.page(SAID) == matrix.PAGE.read_text()


def test_what_nobody_knows_is_nowhere_called_refused() -> None:
    """By what each failure is, whatever a venue's words for it are."""
    silent = {"timeout", "reset", "truncated", "garbled", "server_error"}
    for (_, request), column in SAID.items():
        for cell, word in column.items():
            if cell.how in silent and request == "new":
                after = "working" if cell.when == "after" else "absent"
                assert word == f"unknown, then {after}"
            if cell.how in silent and request == "cancel":
                assert word == "asked again, then canceled" or (cell.when == "after" and word == "canceled")
            if cell.how in matrix.SHUT and request == "cancel":
                assert word == "asked again, then canceled", "and not too late"


@pytest.mark.parametrize("rig", [*matrix.EMULATED, *BY_REST], ids=str)
async def test_an_order_that_met_no_connection_was_not_sent(rig: Rig, tmp_path: Path) -> None:
    async with desk_of(rig, tmp_path, matrix.TIMEOUT, connect=False) as desk, Live(desk) as live:
        assert desk.emulator._runner is not None
        for site in list(desk.emulator._runner.sites):
            await site.stop()  # nobody listens any more; the session does not know yet
        await desk.forget_connections()
        live.new("c1")
        await live.until(lambda: live.decided("c1"))
        assert live.became("c1") == "not sent"
