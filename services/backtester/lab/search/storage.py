"""Where studies are kept: Optuna's own storages, by a database's URL or by a file.

A file is Optuna's journal. Its lock here is the operating system's, which a killed process gives back at once; and a
line that a killed process did not finish is taken off before the next one is written.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bestex.errors import UsageError
from services.backtester.lab.search import database

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study

BLOCK = 4_096  # bytes of a journal's end that are read at once; a line is shorter
IDENTITY = "identity"  # attribute of a study: what it was begun with


def open_storage(where: str) -> BaseStorage:
    """UsageError where a database cannot be reached, or its driver is not installed."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if database.is_database(where):
        return database.open_database(where)
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path = Path(where)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.with_name(f"{path.name}.lock")):
        _mend(path)
    return JournalStorage(JournalFileBackend(where, lock_obj=_lock_of(where)))


def open_study(storage: BaseStorage, name: str, identity: dict[str, Any]) -> Study:
    """A new one, or the one that is there. UsageError where that was begun with something else."""
    import optuna

    study = optuna.create_study(
        storage=storage, study_name=name, load_if_exists=True, sampler=optuna.samplers.RandomSampler()
    )
    if IDENTITY not in study.user_attrs:
        study.set_user_attr(IDENTITY, identity)
    _check(study, identity)
    return study


def check_study(storage: BaseStorage, name: str, identity: dict[str, Any]) -> None:
    """UsageError where it is there, and was begun with something else."""
    import optuna

    try:
        study = optuna.load_study(storage=storage, study_name=name)
    except KeyError:
        return
    _check(study, identity)


def _check(study: Study, identity: dict[str, Any]) -> None:
    known = study.user_attrs.get(IDENTITY, identity)
    others = [key for key in identity if known.get(key) != identity[key]]
    if others or known.keys() != identity.keys():
        raise UsageError(
            f"the study {study.study_name} was begun with another {' and another '.join(others) or 'version'}: give "
            "this one another name (--study, or `name` in a study's file) or another --out or --storage"
        )


@contextmanager
def beginning(where: str) -> Iterator[None]:
    """No other machine begins studies in a database meanwhile: each sees what the other began."""
    with database.one_at_a_time(where) if database.is_database(where) else nullcontext():
        yield


@contextmanager
def alone(where: str, study: str, worker: int) -> Iterator[None]:
    """No other process works as this worker: on that study of a database, or, of this machine, on any of a file's.
    UsageError. BestexError where a database goes away meanwhile."""
    if database.is_database(where):
        with database.alone(where, study, worker), database.answering(where):
            yield
        return
    path = Path(f"{where}.worker-{worker}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another process searches in {where} as worker {worker}: wait for it, or give this one a --worker "
                "number of its own"
            ) from None
        yield


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _mend(path: Path) -> None:
    """Take off what stands behind the last whole line."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        size = end = file.seek(0, os.SEEK_END)
        while end:
            begin = max(end - BLOCK, 0)
            file.seek(begin)
            newline = file.read(end - begin).rfind(b"\n")
            if newline >= 0:
                end = begin + newline + 1
                break
            end = begin
        if end < size:
            file.truncate(end)


def _lock_of(where: str) -> Any:
    from optuna.storages.journal import JournalFileOpenLock

    class Lock(JournalFileOpenLock):
        """flock(2) on a file that stays; reading needs none."""

        def acquire(self) -> bool:
            self._held = os.open(f"{where}.lock", os.O_CREAT | os.O_RDWR, 0o644)
            fcntl.flock(self._held, fcntl.LOCK_EX)
            _mend(Path(where))
            return True

        def release(self) -> None:
            os.close(self._held)

    return Lock(where)
