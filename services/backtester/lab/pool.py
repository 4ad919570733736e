"""Many evaluations in worker processes: results in the order of the items, whatever the timing.

Workers are spawned, so they inherit nothing but what they are given, and end with the process that started them,
however that ends: they hold one end of a pipe whose other end closes then.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection
from types import TracebackType
from typing import TypeVar

from bestex.errors import BestexError, UsageError

JOBS_MAX = 256  # worker processes of one machine

Item = TypeVar("Item")
Result = TypeVar("Result")


def jobs_of(asked: int) -> int:
    """How many workers: `asked`, or for 0 one for each processor that this process may use. UsageError."""
    if not 0 <= asked <= JOBS_MAX:
        raise UsageError(f"--jobs {asked}: from 1 to {JOBS_MAX}, or 0 for one a processor")
    if asked:
        return asked
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(usable or 1, JOBS_MAX)


class Pool:
    """Use it as a context manager. With one job all is done in this process."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._executor: ProcessPoolExecutor | None = None
        self._held: Connection | None = None

    def __enter__(self) -> Pool:
        if self.jobs > 1:
            context = multiprocessing.get_context("spawn")
            watched, self._held = context.Pipe(duplex=False)
            self._executor = ProcessPoolExecutor(self.jobs, context, _begin, (watched,))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """After an error the workers end at once, in the middle of what they do."""
        if self._executor is None or self._held is None:
            return
        if kind is not None:
            self._held.close()
        self._executor.shutdown(wait=True)
        self._held.close()
        self._executor = self._held = None

    def map(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        done: Callable[[], None] = lambda: None,
    ) -> list[Result]:
        """`function`, a module's own, of each item; `done` is called after each, in no order.

        The first error is raised; leaving the pool by it leaves the rest undone. BestexError where a worker has died:
        what it worked on may have killed it, so nothing is tried again.
        """
        if self._executor is None:
            results = []
            for item in items:
                results.append(function(item))
                done()
            return results
        try:
            futures = [self._executor.submit(function, item) for item in items]
            for future in as_completed(futures):
                future.result()
                done()
        except BrokenProcessPool:
            raise BestexError(
                "a worker process died: it was killed, or there was not enough memory; try fewer --jobs"
            ) from None
        return [future.result() for future in futures]


def _begin(watched: Connection) -> None:
    """A worker leaves ctrl-C to the process that started it, and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        try:
            watched.recv_bytes()
        except (EOFError, OSError):
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def progress(total: int, text: str) -> Iterator[Callable[[], None]]:
    """To be called after each of `total` steps: a bar on stderr, where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(text, total=total)
        yield lambda: bar.advance(task)
