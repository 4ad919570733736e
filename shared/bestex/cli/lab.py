"""`bestex lab`: what would have cost least, found on recordings with the live code. One module a command."""

from __future__ import annotations

from cyclopts import App

lab_app = App(
    name="lab",
    help="Backtest, search and compare on recordings, with the live code.",
    help_format="plaintext",
)

# Each command's module is imported when the command is named, and for the list of them.
_COMMANDS = {
    "compare": "lab_compare:compare",
    "search": "lab_search:search",
    "study": "lab_search:study",
    "l1": "lab_l1:l1",
    "lookahead": "lab_lookahead:lookahead",
}

for _name, _path in _COMMANDS.items():
    lab_app.command(f"bestex.cli.{_path}", name=_name)
