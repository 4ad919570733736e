"""Where studies are kept: Optuna's own storages, by a database's URL or by a file.

A file is Optuna's journal. Its lock here is the operating system's, which a killed process gives back at once; and a
line that a killed process did not finish is taken off before the next one is written.
"""

from __future__ import annotations

import fcntl
import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bestex.errors import UsageError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study

BLOCK = 4_096  # bytes of a journal's end that are read at once; a line is shorter
IDENTITY = "identity"  # attribute of a study: what it was begun with


def open_storage(where: str) -> BaseStorage:
    """UsageError where a database cannot be reached, or its driver is not installed."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if "://" not in where:
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        path = Path(where)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_name(f"{path.name}.lock")):
            _mend(path)
        return JournalStorage(JournalFileBackend(where, lock_obj=_lock_of(where)))
    errors = importlib.import_module("sqlalchemy.exc")  # Optuna's choice of library, not ours

    try:
        return optuna.storages.RDBStorage(where, engine_kwargs={"pool_pre_ping": True})
    except ImportError as error:
        raise UsageError(f"--storage {_named(where)}: the database's driver is missing: {error}") from None
    except (errors.SQLAlchemyError, OSError) as error:
        raise UsageError(f"--storage {_named(where)}: {str(error).splitlines()[0]}") from None


def _named(where: str) -> str:
    """Without the password."""
    scheme, _, rest = where.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def open_study(storage: BaseStorage, name: str, identity: dict[str, Any]) -> Study:
    """A new one, or the one that is there. UsageError where that was begun with something else."""
    import optuna

    study = optuna.create_study(
        storage=storage, study_name=name, load_if_exists=True, sampler=optuna.samplers.RandomSampler()
    )
    known = study.user_attrs.get(IDENTITY)
    if known is None:
        study.set_user_attr(IDENTITY, identity)
    elif known != identity:
        others = [key for key in identity if known.get(key) != identity[key]]
        raise UsageError(
            f"the study {name} was begun with another {', '.join(others) or 'version'}: name another --study"
        )
    return study


@contextmanager
def alone(where: str, worker: int) -> Iterator[None]:
    """No other process of this machine works on the studies of a file as this worker. UsageError."""
    if "://" in where:
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
