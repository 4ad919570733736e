"""A venue's keys: read from a file that nobody else may read, and never shown.

What a process has read is remembered, so that `hide` takes it out of any text: the log does so with every line,
whoever wrote it. Libraries and exchanges quote keys in what they say of a failure.

The file is TOML, with `key` and `secret`, and what else the venue needs (`passphrase`, `account`, ...):

    key = "..."
    secret = "..."
"""

from __future__ import annotations

import json
import stat
import tomllib
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from bestex.errors import ConfigError


class Keys:
    """Named secrets. Its text, its repr and its pickle hold none of them."""

    __slots__ = ("_values", "path")

    def __init__(self, path: str, values: dict[str, str]) -> None:
        self.path, self._values = path, values

    def get(self, name: str) -> str:
        """ConfigError where the file has no such key."""
        if not self._values.get(name):
            raise ConfigError(f'{self.path}: has no {name}; a line of it reads: {name} = "..."')
        return self._values[name]

    def optional(self, name: str) -> str:
        return self._values.get(name, "")

    def redact(self, text: str) -> str:
        """`text` without any of the secrets: for what a library says of a failed request."""
        return _without(text, _spellings(self._values.values()))

    def __repr__(self) -> str:
        return f"Keys({self.path!r}, {sorted(self._values)})"

    def __reduce__(self) -> str:
        raise TypeError("keys are not to be sent or stored")


REDACTED_MIN = 6  # what is shorter is no secret, and would turn ordinary words into stars

_read: dict[str, None] = {}  # every spelling of what this process has read


def hide(text: str) -> str:
    """`text` without any secret that this process has read from a file of keys."""
    return _without(text, _read)


def _without(text: str, spellings: Iterable[str]) -> str:
    for spelling in spellings:
        text = text.replace(spelling, "***")
    return text


def _spellings(values: Iterable[str]) -> list[str]:
    """As they stand in a text, in JSON, in Python's own words and in an address; of several lines each too. The
    longest first, so that of one that holds another nothing is left."""
    found: set[str] = set()
    for value in values:
        for part in (value, *value.splitlines()):
            found |= {part, json.dumps(part)[1:-1], repr(part)[1:-1], quote(part, safe=""), quote(part)}
    return sorted((part for part in found if len(part) >= REDACTED_MIN), key=len, reverse=True)


def read_keys(path: str | Path) -> Keys:
    """ConfigError where it cannot be read, is no TOML of texts, or is open to others."""
    file = Path(path).expanduser()
    try:
        mode = file.stat().st_mode
        text = file.read_text()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(f"{file}: others may read it; chmod 600 {file}, and make new keys if they could")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        # Not `from error`: the parser's words would quote the line.
        raise ConfigError(f'{file}: is no TOML; a line of it reads: key = "..."') from None
    if wrong := sorted(name for name, value in values.items() if not isinstance(value, str)):
        raise ConfigError(f"{file}: {', '.join(wrong)} must be text in quotes")
    _read.update(dict.fromkeys(_spellings(values.values())))
    return Keys(str(file), values)
