"""What every command shares: its options, the way to the bus, the two ways to print."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, Token

from bestex.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from bestex.client import Client
    from bestex.config import Config


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Common:
    """Options of every command.

    Parameters
    ----------
    json
        One JSON object on stdout, or one a line where events go on.
    config
        bestex.toml to use (else BESTEX_CONFIG, ./bestex.toml, that of a running `bestex up`, the default).
    """

    json: Annotated[bool, Parameter(negative="")] = False
    config: Path | None = None

    def load(self) -> Config:
        """The configuration in force. ConfigError names the wrong setting."""
        from bestex import bus_address
        from bestex import config as configuration

        loaded = configuration.load(self.config)
        note = bus_address.read_note(loaded.data_dir)
        if self.config is None and note is not None and note.config and not configuration.is_chosen():
            return configuration.load(note.config)
        return loaded

    def client(self) -> Client:
        from bestex.client import Client

        return Client(configuration=self.load(), name="bestex-cli")


COMMON = Common()


def _number(hint: type, tokens: Sequence[Token]) -> Decimal:  # noqa: ARG001 - the signature is cyclopts's
    try:
        return Decimal(tokens[0].value)
    except InvalidOperation:
        raise ValueError(f'"{tokens[0].value}" is no number; write 1 or 0.25') from None


Number = Annotated[Decimal, Parameter(converter=_number, n_tokens=1)]


def print_json(value: Any) -> None:
    """One line, flushed, so that a pipe sees it at once."""
    from bestex import codec

    sys.stdout.buffer.write(codec.to_json(value) + b"\n")
    sys.stdout.buffer.flush()


def console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def table(*columns: str, right: Iterable[str] = ()) -> Table:
    """A plain table; the columns named in `right` hold numbers."""
    from rich.box import SIMPLE
    from rich.table import Table

    made = Table(box=SIMPLE, pad_edge=False)
    numbers = set(right)
    for column in columns:
        made.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return made


def known(kind: str, name: str, names: Iterable[str]) -> str:
    """`name` if it is one of `names`; else UsageError with the nearest and with all there are."""
    there = sorted(names)
    if name in there:
        return name
    near = difflib.get_close_matches(name, there, n=1)
    hint = f'did you mean "{near[0]}"? ' if near else ""
    raise UsageError(f'there is no {kind} "{name}"; {hint}There are {", ".join(there) or "none"}.')


def assignments(items: Iterable[str]) -> dict[str, Any]:
    """`name=value` pairs; a value that reads as a JSON number, boolean or list is one, else it is text."""
    found: dict[str, Any] = {}
    for item in items:
        name, equals, text = item.partition("=")
        if not equals or not name:
            raise UsageError(f"--set {item}: write --set name=value")
        try:
            found[name] = json.loads(text, parse_constant=str)
        except json.JSONDecodeError:
            found[name] = text
    return found
