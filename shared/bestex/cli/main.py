"""The `bestex` command. Each group of commands is a module that is imported when one of them is named."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from bestex.errors import BestexError, ConfigError, UsageError

OK, ENDED_OTHERWISE, USAGE, INTERRUPTED = 0, 1, 2, 130

_EXAMPLES = """
The first minutes:

    bestex up                                            start everything on this machine
    bestex doctor                                        is all of it well?
    bestex plan BTC/USDT buy 1                           what would the router do now?
    bestex submit BTC/USDT buy 1 --algo twap --duration 2m --wait
    bestex watch fill                                    every fill as it happens
    bestex status                                        every parent and where it stands
    bestex audit                                         was every promise kept?

Each command takes --json and --config, and explains itself with --help.
"""

app = App(
    name="bestex",
    help="Work parent orders over many venues at once.",
    help_epilogue=_EXAMPLES,
    help_format="plaintext",
    version_flags=["--version"],
)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("bestex")
    except PackageNotFoundError:
        return "0.0.0"  # run from a source tree that was never installed


app.version = _version

for _name, _path in {
    "up": "operate:up",
    "doctor": "operate:doctor",
    "audit": "operate:audit",
    "streams": "operate:streams_app",
    "submit": "orders:submit",
    "plan": "orders:plan",
    "cancel": "orders:cancel",
    "modify": "orders:modify",
    "pause": "orders:pause",
    "resume": "orders:resume",
    "status": "show:status",
    "watch": "show:watch",
    "algos": "catalogue:algos",
    "strategies": "catalogue:strategies",
    "recording": "recordings:recording_app",
    "record": "recordings:record",
    "retrace": "recordings:retrace",
}.items():
    app.command(f"bestex.cli.{_path}", name=_name)


def run(tokens: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. What goes wrong is one sentence on stderr, never a traceback."""
    try:
        result = app(
            tokens, exit_on_error=False, print_error=False, help_on_error=False, result_action="return_value"
        )
        return result if isinstance(result, int) else OK
    except CycloptsError as error:
        print(f"bestex: {' '.join(str(error).split())} (see `bestex --help`)", file=sys.stderr)
        return USAGE
    except (UsageError, ConfigError) as error:
        print(f"bestex: {error}", file=sys.stderr)
        return USAGE
    except BestexError as error:
        print(f"bestex: {error}", file=sys.stderr)
        return ENDED_OTHERWISE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `bestex watch | head` has had enough
        sys.stderr.close()
        return OK


def main() -> None:
    sys.exit(run())
