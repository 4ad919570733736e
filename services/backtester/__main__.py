"""`python -m services.backtester ORDERS [--recording FILE...] [--config FILE] [--seed N] [--json]`

Works the orders of a file on virtual time, and prints what became of them. ORDERS is a JSON list such as

    [{"after": "10s", "order": {"symbol": "BTC/USDT", "side": "buy", "qty": "2", "algo": "twap"}},
     {"after": "20s", "cancel_after": "30s", "order": {...}}]

with orders as users publish them; `after` counts from the session's start. Around recordings where some are
named, else around the configuration's market model. Exit code: 0, 1 where an order did not end or a promise was
broken, 2 where something asked for is wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import msgspec

from bestex import codec
from bestex import config as configuration
from bestex import messages as m
from bestex.clock import HOUR, SECOND
from bestex.errors import BestexError, UsageError
from bestex.execution import Summary
from bestex.human import Duration
from services.backtester.session import VirtualSession

EXIT_UNSOUND, EXIT_MISUSED = 1, 2
DURATION_MAX_NS = 24 * HOUR  # of virtual time; a session that has not ended by then has lost an order


class Planned(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    order: m.ParentOrder
    after: Duration = Duration(5 * SECOND)
    cancel_after: Duration | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """`digest` is equal for equal runs; `parents` are the parents' last events; `executions` what each order that was
    accepted and has ended came to, against its benchmarks."""

    digest: str
    ended: bool
    anomalies: int
    fills: int
    parents: list[m.ParentDone | m.ParentRejected]
    executions: list[Summary] = []


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m services.backtester")
    parser.add_argument("orders", type=Path, help="JSON list of planned orders")
    parser.add_argument("--recording", type=Path, nargs="+", default=[], help="what to trade on")
    parser.add_argument("--config", help="path of bestex.toml (else BESTEX_CONFIG, else the packaged one)")
    parser.add_argument("--seed", type=int, default=0, help="of latencies and of the market model")
    parser.add_argument("--json", action="store_true", help="print one object")
    arguments = parser.parse_args()
    try:
        planned = read_orders(arguments.orders)
        with tempfile.TemporaryDirectory() as cache_dir:
            session = make_session(arguments.recording, Path(cache_dir), arguments.config, arguments.seed)
            ended = work(session, planned)
    except BestexError as error:
        print(f"backtester: {error}", file=sys.stderr)
        sys.exit(EXIT_MISUSED)
    report = session.audit(complete=ended)
    parents = [
        stored.message
        for stored in session.events("parent.>")
        if isinstance(stored.message, m.ParentDone | m.ParentRejected)
    ]
    outcome = Outcome(
        digest=session.digest(),
        ended=ended,
        anomalies=report.count,
        fills=len(session.fills()),
        parents=parents,
        executions=[
            session.execution(event.parent_id).summary()
            for event in parents
            if isinstance(event, m.ParentDone)
        ],
    )
    if arguments.json:
        print(codec.to_json(outcome).decode())
    else:
        for event in outcome.parents:
            reason = event.code if isinstance(event, m.ParentRejected) else event.reason
            average = f" at {event.avg_px}" if event.avg_px is not None else ""
            print(f"{event.parent_id} {event.symbol} {reason}: {event.cum_qty} filled{average}")
        print(report.text())
    sys.exit(0 if ended and report.ok else EXIT_UNSOUND)


def read_orders(path: Path) -> list[Planned]:
    """Raises UsageError where the file is not as it must be."""
    try:
        return codec.from_json(path.read_bytes(), list[Planned])
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(f"{path}: {error}") from error


def make_session(recordings: list[Path], cache_dir: Path, config: str | None, seed: int) -> VirtualSession:
    if not recordings:
        return VirtualSession(configuration.load(config), seed=seed)
    text = Path(config).read_text() if config else ""
    return VirtualSession.on_recordings(recordings, cache_dir, seed=seed, config_text=text)


def work(session: VirtualSession, planned: list[Planned]) -> bool:
    """Whether every order has ended."""
    start_ns = session.now_ns
    for one in planned:
        parent_id = session.submit(one.order, start_ns + one.after)
        if one.cancel_after is not None:
            session.cancel(parent_id, start_ns + one.cancel_after)
    return session.finish(start_ns + DURATION_MAX_NS)


if __name__ == "__main__":
    main()
