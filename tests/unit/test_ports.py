import subprocess
import sys
from pathlib import Path

import pytest

from bestex import ports
from bestex.ports import claim_port, free_port

HOLD = """
import sys
from bestex.ports import claim_port
claim = claim_port(int(sys.argv[1]))
print(claim.port, flush=True)
input()
"""


def test_a_port_is_claimed_once_until_it_is_released() -> None:
    wanted = free_port()
    first, second = claim_port(wanted), claim_port(wanted)
    assert first.port == wanted
    assert second.port != wanted
    first.release()
    third = claim_port(wanted)
    assert third.port == wanted
    for claim in (second, third):
        claim.release()


def test_a_claim_counts_in_other_processes_and_ends_with_its_own_however_that_ends() -> None:
    wanted = free_port()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(wanted)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert int(holder.stdout.readline()) == wanted
    other = claim_port(wanted)
    assert other.port != wanted
    holder.kill()
    holder.communicate()
    after = claim_port(wanted)
    assert after.port == wanted
    for claim in (other, after):
        claim.release()


def test_no_outgoing_connection_is_given_a_port_that_is_offered() -> None:
    """Or a client would take it, or be connected to itself, while its server is down."""
    if not ports.OUTGOING.exists():
        pytest.skip("this system does not say which ports it gives to connections")
    first = int(ports.OUTGOING.read_text().split()[0])
    assert all(ports.LOWEST <= free_port() < first for _ in range(50))


@pytest.mark.parametrize("said", ["1024 65535", "", "none"])
def test_where_there_are_no_others_the_system_chooses(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "OUTGOING", tmp_path / "range")
    assert free_port() > 0
    (tmp_path / "range").write_text(said)
    assert free_port() > 0
