"""The `bestex` command. Each group of commands is a module that is imported when one of them is named."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError

from bestex.errors import BestexError, ConfigError, UsageError

OK, ENDED_OTHERWISE, USAGE, INTERRUPTED = 0, 1, 2, 130

_EXAMPLES = """
The first minutes:

    bestex up                           start everything on this machine
    bestex doctor                       is all of it well?
    bestex plan BTC/USDT buy 1          what would the router do now?
    bestex schedule BTC/USDT buy 1      what would be sent by when?
    bestex submit BTC/USDT buy 1 --algo twap --duration 2m --wait
    bestex watch fill                   every fill as it happens
    bestex status                       every parent and where it stands
    bestex explain PARENT               all that happened to one order
    bestex audit                        was every promise kept?
    bestex halt global --reason "why"   no order goes out any more

Each command takes --json and --config, and explains itself with --help.
"""


def _version() -> str:
    from bestex.fleet import package_version

    return package_version()


# The sentences stand here so that the list of commands imports none of them.
_COMMANDS = {
    "up": ("operate:up", "Start the bus and every service here, and keep them running."),
    "doctor": ("operate:doctor", "See whether all is well, and how to repair what is not."),
    "audit": ("operate:audit", "Check every promise from the streams and the venues' journals."),
    "explain": ("explain:explain", "All that happened to one order, from every stream, in order."),
    "bus": ("bus:bus_app", "Make the keys, the rights and the certificates of a bus."),
    "streams": ("operate:streams_app", "Create the bus's streams, or check them."),
    "submit": ("orders:submit", "Publish a parent order."),
    "shadows": ("shadows:shadows", "What every strategy would have cost on the slices that were sampled."),
    "plan": ("plan:plan", "The route that an order would take now, with its costs."),
    "schedule": ("schedule:schedule", "The planned curve of an order, or planned against filled of one."),
    "cancel": ("orders:cancel", "Ask for a parent to be cancelled."),
    "modify": ("orders:modify", "Change a parent that is at work."),
    "pause": ("orders:pause", "Let a parent send nothing more for now."),
    "resume": ("orders:resume", "Let a paused parent go on."),
    "halt": ("halt:halt", "Let no new order out: of all, a venue, an account or an algorithm."),
    "unhalt": ("halt:unhalt", "Let orders out again that were halted."),
    "halts": ("halt:halts", "What is halted, by whom, since when and why."),
    "positions": ("positions:positions", "What the accounts at the venues hold, and what of it is free."),
    "status": ("show:status", "Where parents stand."),
    "watch": ("show:watch", "Live lines of all that happens to orders."),
    "venues": (
        "venues:venues_app",
        "The venues: mode, fees, limits and health; look at one without trading.",
    ),
    "algos": ("catalogue:algos", "The execution algorithms and their parameters."),
    "tickets": ("tickets:tickets", "Order tickets for other user interfaces: JSON Schema, FIXatdl."),
    "strategies": ("catalogue:strategies", "The routing strategies and their parameters."),
    "recording": ("recordings:recording_app", "Look at recorded market data, and convert it."),
    "record": ("recordings:record", "Record the market data of the running platform."),
    "impact": ("impact:impact_app", "Calibrate market impact from recordings, and estimate an order's."),
    "volume": ("volume:volume_app", "A market's volume by the time of day, and days of it from files."),
    "lab": ("lab:lab_app", "Backtest, search and compare on recordings, with the live code."),
    "retrace": ("recordings:retrace", "Run tapes again: every decision must come out the same."),
}


def make_app(*, listing: bool) -> App:
    """`listing`: to show all commands, with a sentence each; otherwise each command brings its own help."""
    app = App(
        name="bestex",
        help="Work parent orders over many venues at once.",
        help_epilogue=_EXAMPLES if listing else None,
        help_format="plaintext",
        version=_version,
        default_parameter=Parameter(show_default=False),
    )
    for name, (path, sentence) in _COMMANDS.items():
        app.command(f"bestex.cli.{path}", name=name, **({"help": sentence} if listing else {}))
    return app


def run(tokens: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. What goes wrong is one sentence on stderr, never a traceback."""
    tokens = sys.argv[1:] if tokens is None else list(tokens)
    app = make_app(listing=not tokens or tokens[0].startswith("-"))
    try:
        result = app(
            tokens, exit_on_error=False, print_error=False, help_on_error=False, result_action="return_value"
        )
        return result if isinstance(result, int) else OK
    except CycloptsError as error:
        print(f"bestex: {_mistake(error)}", file=sys.stderr)
        return USAGE
    except (UsageError, ConfigError) as error:
        print(f"bestex: {error}", file=sys.stderr)
        return USAGE
    except BestexError as error:
        print(f"bestex: {error}", file=sys.stderr)
        return ENDED_OTHERWISE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `bestex watch | head` has had enough; nor may the exit's flush complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:
        if error.filename is None:
            raise
        print(f"bestex: {error.filename}: {error.strerror}", file=sys.stderr)
        return ENDED_OTHERWISE


def _mistake(error: CycloptsError) -> str:
    """What was mistyped, and whose help to read."""
    if isinstance(error, UnusedCliTokensError):
        text = f"there is no place for {' '.join(error.unused_tokens or ())}"
    else:
        text = " ".join(str(error).split())
        text = text if text.endswith("...") else text.removesuffix(".")
    command = " ".join(("bestex", *(error.command_chain or ())))
    return f"{text} (see `{command} --help`)"


def main() -> None:
    sys.exit(run())
