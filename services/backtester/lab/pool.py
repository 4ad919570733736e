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
import time
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, TypeVar

from bestex.errors import BestexError, UsageError

JOBS_MAX = 256  # worker processes of one machine
DIED = "a worker process died: it was killed, or there was not enough memory; try fewer --jobs"

Item = TypeVar("Item")
Result = TypeVar("Result")
Wanted = TypeVar("Wanted", bound=Hashable)
Output = TypeVar("Output")


def jobs_of(asked: int) -> int:
    """How many workers: `asked`, or for 0 one for each processor that this process may use. UsageError."""
    if not 0 <= asked <= JOBS_MAX:
        raise UsageError(f"--jobs {asked}: from 1 to {JOBS_MAX}, or 0 for one a processor")
    if asked:
        return asked
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(usable or 1, JOBS_MAX)


_shared: Any = None  # one a process: a worker works for one pool


def shared() -> Any:
    """What the pool at work was given for all items."""
    return _shared


class Pool:
    """Use it as a context manager. With one job all is done in this process.

    `given`: what every item needs, handed to each worker once; functions find it by `shared()`.
    """

    def __init__(self, jobs: int, given: Any = None) -> None:
        self.jobs = jobs
        self.evaluations = 0  # by `drive`, so far
        self.busy_s = 0.0  # what these took, one after another
        self._given = given
        self._executor: ProcessPoolExecutor | None = None
        self._held: Connection | None = None

    def __enter__(self) -> Pool:
        _share(self._given)
        if self.jobs > 1:
            context = multiprocessing.get_context("spawn")
            watched, self._held = context.Pipe(duplex=False)
            self._executor = ProcessPoolExecutor(self.jobs, context, _begin, (watched, self._given))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """After an error the workers end at once, in the middle of what they do."""
        _share(None)
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
            raise BestexError(DIED) from None
        return [future.result() for future in futures]

    def drive(
        self,
        function: Callable[[Wanted], Result],
        programs: Sequence[Generator[Sequence[Wanted], list[Result], Output]],
    ) -> list[Output]:
        """What each of `programs` returns. They yield the items that they need and are sent their results; while one
        thinks or waits for its last item, the workers work for the others. An item that several need, or one again,
        is evaluated once. Errors as in `map`.
        """
        known: dict[Wanted, Result] = {}
        needs: dict[int, Sequence[Wanted]] = {}
        outputs: dict[int, Output] = {}
        running: dict[Future[tuple[Result, float]], Wanted] = {}

        def go_on(number: int, results: list[Result] | None) -> None:
            program = programs[number]
            try:
                needs[number] = next(program) if results is None else program.send(results)
            except StopIteration as end:
                needs.pop(number, None)
                outputs[number] = end.value
                return
            under_way = set(running.values())
            for item in dict.fromkeys(needs[number]):
                if item in known or item in under_way:
                    continue
                self.evaluations += 1
                if self._executor is None:
                    take(item, *_timed(function, item))
                else:
                    running[self._executor.submit(_timed, function, item)] = item

        def take(item: Wanted, result: Result, seconds: float) -> None:
            known[item] = result
            self.busy_s += seconds

        try:
            for number in range(len(programs)):
                go_on(number, None)
            while needs:
                ready = [n for n, items in needs.items() if all(item in known for item in items)]
                for number in ready:
                    go_on(number, [known[item] for item in needs[number]])
                if not ready:
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        take(running.pop(future), *future.result())
        except BrokenProcessPool:
            raise BestexError(DIED) from None
        return [outputs[number] for number in range(len(programs))]


def _timed(function: Callable[[Item], Result], item: Item) -> tuple[Result, float]:
    began_s = time.perf_counter()
    return function(item), time.perf_counter() - began_s


def _share(given: Any) -> None:
    global _shared
    _shared = given


def _begin(watched: Connection, given: Any) -> None:
    """A worker leaves ctrl-C to the process that started it, and ends with it."""
    _share(given)
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
