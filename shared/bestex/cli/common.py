"""What every command shares: its options, the way to the bus, the two ways to print."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import json
import os
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, Token

from bestex.errors import UsageError

if TYPE_CHECKING:
    from nats.aio.client import Client as Connection
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


LOSS_S = 1.0  # a bus that restarts is back before
PIPE_COLUMNS_MIN = 120  # a file or a pipe has no width of its own; tables need this much to be read
DECIMALS, DIGITS = 4, 8  # a shown figure keeps the finer of both: cents of a coin, and coins of a cent


def _number(hint: type, tokens: Sequence[Token]) -> Decimal:  # noqa: ARG001 - the signature is cyclopts's
    text = tokens[0].value
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f'"{text}" is no number; write 1 or 0.25') from None
    if not number.is_finite():
        raise ValueError(f'"{text}" is not finite; write 1 or 0.25')
    if number <= 0:
        raise ValueError(f"{text} must be above zero")
    return number


Number = Annotated[Decimal, Parameter(converter=_number, n_tokens=1)]


def print_json(value: Any) -> None:
    """One line, flushed, so that a pipe sees it at once."""
    from bestex import codec

    sys.stdout.buffer.write(codec.to_json(value) + b"\n")
    sys.stdout.buffer.flush()


@contextlib.asynccontextmanager
async def losses_told(connection: Connection) -> AsyncIterator[None]:
    """Meanwhile, say on stderr when the bus stays away and when it is back."""

    async def look() -> None:
        was_there = True
        while True:
            await asyncio.sleep(LOSS_S)
            if connection.is_connected is not was_there:
                was_there = connection.is_connected
                text = "the bus is back" if was_there else "the bus is lost, waiting for it; ctrl-C ends that"
                print(f"bestex: {text}", file=sys.stderr, flush=True)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()


def console() -> Console:
    """Text is printed as it is: what users wrote may hold rich's brackets."""
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # rich would end the process from within whatever callback it is in

    width = None
    if not sys.stdout.isatty():
        asked = os.environ.get("COLUMNS", "")
        width = max(int(asked) if asked.isdecimal() else 0, PIPE_COLUMNS_MIN)
    return Output(highlight=False, markup=False, width=width)


def figure(value: Decimal | None) -> str:
    """A price or an amount to be read, not computed with: rounded where its digits say nothing any more."""
    if value is None:
        return ""
    finest = min(-DECIMALS, value.adjusted() + 1 - DIGITS)
    shown = round(value, -finest) if int(value.as_tuple().exponent) < finest else value
    return f"{shown.normalize():f}"


def table(*columns: str, right: Iterable[str] = ()) -> Table:
    """A plain table; the columns named in `right` hold numbers, which are never broken over two lines."""
    from rich.box import SIMPLE
    from rich.table import Table

    made = Table(box=SIMPLE, pad_edge=False, collapse_padding=True)
    numbers = set(right)
    for column in columns:
        is_number = column in numbers
        made.add_column(column, justify="right" if is_number else "left", overflow="fold", no_wrap=is_number)
    return made


def known(kind: str, name: str, names: Iterable[str]) -> str:
    """`name` if it is one of `names`; else UsageError with the nearest and with all there are."""
    there = sorted(names)
    if name in there:
        return name
    near = difflib.get_close_matches(name, there, n=1)
    hint = f'did you mean "{near[0]}"? There' if near else "there"
    raise UsageError(f'there is no {kind} "{name}"; {hint} are {", ".join(there) or "none"}')


def venue_names(text: str) -> list[str] | None:
    """The names of a comma separated list; None where nothing was written."""
    if not text:
        return None
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise UsageError(f'--venues "{text}": write names with commas between them, such as sim_a,sim_b')
    return names


def texts(items: Iterable[str], option: str) -> dict[str, str]:
    """`name=value` pairs, as they are written."""
    found = {}
    for item in items:
        name, equals, text = item.partition("=")
        if not equals or not name:
            raise UsageError(f"{option} {item}: write {option} name=value")
        found[name] = text
    return found


def assignments(items: Iterable[str], option: str = "--set") -> dict[str, Any]:
    """`name=value` pairs; a value that reads as a JSON number, boolean or list is one, else it is text."""
    found: dict[str, Any] = {}
    for name, text in texts(items, option).items():
        try:
            found[name] = json.loads(text, parse_constant=str)
        except json.JSONDecodeError:
            found[name] = text
    return found
