"""Keys are read from private files, and nothing that a process says holds them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from bestex.errors import ConfigError
from bestex.keys import hide, read_keys

KEY = "unmistakable-key/+=%7"
PEM = "-----BEGIN PRIVATE KEY-----\nunmistakable-line-of-a-key\n-----END PRIVATE KEY-----"


def file_of(folder: Path) -> Path:
    path = folder / "keys.toml"
    path.touch(mode=0o600)
    path.write_text(f'key = "{KEY}"\nsecret = """{PEM}"""\nshort = "abc"\n')
    return path


@pytest.mark.parametrize(
    "text",
    [
        f"refused: {KEY}",
        f"GET /?key={quote(KEY, safe='')}",
        repr({"secret": PEM}),
        "one line: unmistakable-line-of-a-key",
    ],
)
def test_what_was_read_is_hidden_in_every_spelling(tmp_path: Path, text: str) -> None:
    keys = read_keys(file_of(tmp_path))
    for shown in (hide(text), keys.redact(text)):
        assert "unmistakable" not in shown
        assert "***" in shown


def test_ordinary_words_stay(tmp_path: Path) -> None:
    read_keys(file_of(tmp_path))
    assert hide("abc is no secret") == "abc is no secret"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o606])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = file_of(tmp_path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match="others may read it; chmod 600"):
        read_keys(path)


SAYS = """
import asyncio, logging, sys
from bestex import log
from bestex.keys import read_keys
logger = log.configure("test")
value = read_keys(sys.argv[1]).get("key")
logger.warning("ours", text=value)
try:
    raise RuntimeError(f"refused: {value}")
except RuntimeError:
    logger.exception("a traceback")
    logging.getLogger("library").exception("a library's, of %s", value)

async def lost():
    raise RuntimeError(f"never retrieved: {value}")

async def main():
    task = asyncio.create_task(lost())
    await asyncio.sleep(0)
    del task

asyncio.run(main())
raise RuntimeError(f"the end: {value}")
"""


def test_neither_logs_nor_libraries_nor_the_last_traceback_hold_a_key(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SAYS, str(file_of(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    for words in ("ours", "a traceback", "a library's", "never retrieved", "the end: ***", "RuntimeError"):
        assert words in said
    assert KEY not in said
    assert done.returncode == 1
