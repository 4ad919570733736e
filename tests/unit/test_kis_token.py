"""KIS's token: one for all processes, renewed before it ends, asked for once a minute at most."""

from __future__ import annotations

import asyncio
import json
import stat
import sys
from collections import Counter
from pathlib import Path

import pytest

from bestex.clock import HOUR, MINUTE, SECOND
from bestex.kis.token import SharedToken, TokenError
from tests.emulators.kis import Kis
from tests.emulators.server import Key, serve

START = 1_700_000_000 * SECOND
PROCESSES = 6
ONE = """
import asyncio, sys, time
from decimal import Decimal
from pathlib import Path
from bestex.keys import read_keys
from bestex.kis.client import KisClient
from bestex.kis.hosts import Host

async def main():
    host = Host(sys.argv[1], "", False, "KRX", 20.0, False, Decimal(0))
    client = KisClient(host, read_keys(sys.argv[2]), Path(sys.argv[3]), 5_000_000_000, time.time_ns)
    await client.start()
    await client.token.keep()
    print(client.token.current())
    await client.close()

asyncio.run(main())
"""


class Issuer:
    """KIS's side, and the clock."""

    def __init__(self, path: Path) -> None:
        self.path, self.now_ns, self.asked = path, START, Counter[str]()
        self.fails = False

    async def issue(self) -> tuple[str, int]:
        self.asked["tokens"] += 1
        await asyncio.sleep(0)
        if self.fails:
            raise TokenError("refused")
        return f"token{self.asked['tokens']}", 86_400

    def token(self) -> SharedToken:
        return SharedToken(self.path, self.issue, lambda: self.now_ns)


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path / "kis" / "token")


async def test_whoever_comes_later_has_the_first_ones_token(issuer: Issuer) -> None:
    first, second, third = issuer.token(), issuer.token(), issuer.token()
    assert first.current() == ""
    await asyncio.gather(first.keep(), second.keep(), third.keep())
    assert {one.current() for one in (first, second, third)} == {"token1"}
    assert issuer.asked["tokens"] == 1
    assert stat.S_IMODE(issuer.path.stat().st_mode) == 0o600


async def test_it_is_renewed_before_it_ends_and_then_by_one_alone(issuer: Issuer) -> None:
    first, second = issuer.token(), issuer.token()
    left_s = await first.keep()
    await second.keep()
    assert left_s == 23 * 3_600
    issuer.now_ns += 23 * HOUR + SECOND
    assert first.current() == "token1", "it is good for another hour"
    await first.keep()
    await second.keep()
    assert (first.current(), second.current(), issuer.asked["tokens"]) == ("token2", "token2", 2)


async def test_it_is_asked_for_once_a_minute_whatever_comes_of_it(issuer: Issuer) -> None:
    issuer.fails = True
    for token in (issuer.token(), issuer.token()):
        for _ in range(3):
            with pytest.raises(TokenError):
                await token.keep()
    assert issuer.asked["tokens"] == 1
    issuer.fails = False
    issuer.now_ns += MINUTE + 2 * SECOND
    token = issuer.token()
    await token.keep()
    assert (token.current(), issuer.asked["tokens"]) == ("token2", 2)


async def test_one_that_is_not_taken_any_more_is_replaced_for_all(issuer: Issuer) -> None:
    first, second = issuer.token(), issuer.token()
    await first.keep()
    await second.keep()
    first.refuse("token1")
    assert first.current() == ""
    with pytest.raises(TokenError, match="asked for again in"):
        await first.keep()
    issuer.now_ns += 2 * MINUTE
    await first.keep()
    second.refuse("token1")
    await second.keep()
    assert (first.current(), second.current(), issuer.asked["tokens"]) == ("token2", "token2", 2)


@pytest.mark.parametrize("content", ["", "{", '{"token": 1}', "open to all"])
async def test_a_file_that_cannot_be_trusted_is_no_token(issuer: Issuer, content: str) -> None:
    await issuer.token().keep()
    if content == "open to all":
        issuer.path.chmod(0o644)
    else:
        issuer.path.write_text(content)
        issuer.path.chmod(0o600)
    token = issuer.token()
    await token.keep()
    assert (token.current(), issuer.asked["tokens"]) == ("token2", 2)
    assert stat.S_IMODE(issuer.path.stat().st_mode) == 0o600


async def test_many_processes_ask_for_one_token(tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.touch(mode=0o600)
    keys.write_text(f'key = "{Key().key}"\nsecret = "{Key().secret}"\n')
    async with serve(Kis(tmp_path / "venue", market="none")) as emulator:
        assert isinstance(emulator, Kis)

        async def one() -> str:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                ONE,
                emulator.url,
                str(keys),
                str(tmp_path),
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await asyncio.wait_for(process.communicate(), 60)
            assert process.returncode == 0
            return out.decode().strip()

        tokens = await asyncio.gather(*(one() for _ in range(PROCESSES)))
        assert set(tokens) == set(emulator.tokens)
        assert emulator.faults.asked["other"] == 1
    [file] = (tmp_path / "kis").glob("token-????????????????")
    assert json.loads(file.read_text())["token"] == tokens[0]
