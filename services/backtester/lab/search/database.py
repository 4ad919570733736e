"""Studies in a database that several machines reach: Optuna's tables there, and who may write them.

What tells two machines apart is told by the database's own locks, of PostgreSQL alone: a lock ends with the
connection that holds it, and so with its process, however that ends. Another database keeps studies as well, and
leaves it to its users that each machine has a number of its own.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from bestex import ids
from bestex.errors import BestexError, UsageError

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

POSTGRES = "postgresql"
DRIVER = f"{POSTGRES}+psycopg"  # the one that the extra `lab` brings
LIBPQ = (DRIVER, f"{POSTGRES}+psycopg2")  # drivers whose options are libpq's
LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL's code where a lock was waited for in vain
CONNECT_S = 10  # a database in the same house answers in milliseconds, one beyond an ocean within a second
SILENCE_S, ASK_S, ASKED = 30, 10, 3  # a machine that is gone without a word is missed after a minute
MAKE_WAIT_S = 30  # while another machine makes the tables or begins the studies, which takes a second
HELD_WAIT_S = (
    2.0  # for a lock of a process that was just killed: its server needs some milliseconds to see it
)


def is_database(where: str) -> bool:
    return "://" in where


def named(where: str) -> str:
    """For people: without what is secret."""
    try:
        url = _url(where)
    except UsageError:
        return f"{where.partition('://')[0]}://..."
    port = f":{url.port}" if url.port else ""
    return f"{where.partition('://')[0]}://{url.host or ''}{port}/{url.database or ''}"


def open_database(where: str) -> RDBStorage:
    """UsageError where it cannot be reached or used, or its driver is not installed."""
    from optuna.storages import RDBStorage

    url = _url(where)
    options = {"pool_pre_ping": True, "connect_args": _connect_args(url)}
    with _reached(where), one_at_a_time(where):
        return RDBStorage(url.render_as_string(hide_password=False), engine_kwargs=options)


@contextmanager
def one_at_a_time(where: str) -> Iterator[None]:
    """No other machine makes tables or begins studies there meanwhile."""
    with _holding(where, MAKE_WAIT_S, "begin") as held:
        if not held:
            raise BestexError(
                f"--storage {named(where)}: another machine begins studies there and does not end"
            )
        yield


@contextmanager
def alone(where: str, study: str, worker: int) -> Iterator[None]:
    """No other process works on that study as this worker. UsageError, also where there is no database."""
    with ExitStack() as stack:
        with _reached(where):
            held = stack.enter_context(_holding(where, HELD_WAIT_S, "worker", study, worker))
        if not held:
            raise UsageError(
                f"another process searches {study} in {named(where)} as worker {worker}: wait for it, or give this "
                "one a --worker number of its own"
            )
        yield


@contextmanager
def answering(where: str) -> Iterator[None]:
    """BestexError where the database does not answer any more."""
    database, optuna = importlib.import_module("sqlalchemy.exc"), importlib.import_module("optuna.exceptions")
    try:
        yield
    except (database.SQLAlchemyError, optuna.StorageInternalError) as error:
        raise BestexError(
            f"--storage {named(where)}: {_reason(error)}; the trials that were told are kept, and the same command "
            "goes on where they end"
        ) from None


@contextmanager
def _reached(where: str) -> Iterator[None]:
    database = importlib.import_module("sqlalchemy.exc")  # Optuna's choice of library, not ours
    try:
        yield
    except ImportError as error:
        missing = error.__cause__ or error
        raise UsageError(f"--storage {named(where)}: the database's driver is missing: {missing}") from None
    except database.NoSuchModuleError:
        raise UsageError(f"--storage {named(where)}: there is no such kind of database") from None
    except (database.SQLAlchemyError, OSError, RuntimeError) as error:
        # A RuntimeError says that the tables are those of another version of Optuna.
        raise UsageError(f"--storage {named(where)}: {_reason(error)}") from None


def _reason(error: BaseException) -> str:
    """The database's own first line."""
    if error.__cause__ is not None and not hasattr(error, "orig"):
        error = error.__cause__  # Optuna's own only says that there is one
    text = str(getattr(error, "orig", None) or error).strip()
    return text.partition("\n")[0].removeprefix("connection failed: ")


def _url(where: str) -> Any:
    """SQLAlchemy's. UsageError, which quotes nothing of it."""
    engine = importlib.import_module("sqlalchemy.engine")
    errors = importlib.import_module("sqlalchemy.exc")
    scheme = where.partition("://")[0]
    try:
        url = engine.make_url(where)
    except (errors.ArgumentError, ValueError):
        example = f"{POSTGRES}://user@host:5432/studies"
        raise UsageError(f"--storage {scheme}://...: no URL such as {example}") from None
    if where.count("@") > 1 or "@" in where.partition("?")[2]:  # else a part of a password counts as the host
        mend = "write %40 for an @ in a name or a password, and %3F for a ?"
        raise UsageError(f"--storage {scheme}://...: {mend}")
    return url.set(drivername=DRIVER) if url.drivername in ("postgres", POSTGRES) else url


def _connect_args(url: Any) -> dict[str, Any]:
    """Of libpq, as far as the URL does not say otherwise."""
    if url.drivername not in LIBPQ:
        return {}
    ours = {
        "connect_timeout": CONNECT_S,
        "keepalives_idle": SILENCE_S,
        "keepalives_interval": ASK_S,
        "keepalives_count": ASKED,
        "application_name": "bestex lab",
    }
    return {name: value for name, value in ours.items() if name not in url.query}


@contextmanager
def _holding(where: str, wait_s: float, *what: object) -> Iterator[bool]:
    """A lock of the database's, on a connection of its own; whether it was to be had. True where there are none."""
    url = _url(where)
    if url.get_backend_name() != POSTGRES:
        yield True
        return
    sqlalchemy = importlib.import_module("sqlalchemy")
    # Nothing is reset when it is given back: it is closed, and may be dead by then.
    engine = sqlalchemy.create_engine(
        url,
        poolclass=sqlalchemy.pool.NullPool,
        pool_reset_on_return=None,
        isolation_level="AUTOCOMMIT",
        connect_args=_connect_args(url),
    )
    connection = engine.connect()
    try:
        # Older servers have not all of these.
        change = sqlalchemy.text("SELECT set_config(name, :value, false) FROM pg_settings WHERE name = :name")
        settings = {
            "tcp_keepalives_idle": SILENCE_S,
            "tcp_keepalives_interval": ASK_S,
            "tcp_keepalives_count": ASKED,
            "idle_session_timeout": 0,
            "lock_timeout": round(wait_s * 1_000),
        }
        for name, value in settings.items():
            connection.execute(change, {"name": name, "value": str(value)})
        yield _lock(connection, ids.seed("search", "lock", *what) - (1 << 63))
    finally:
        connection.close()


def _lock(connection: Any, key: int) -> bool:
    """`key`: a bigint of PostgreSQL's."""
    sqlalchemy = importlib.import_module("sqlalchemy")
    try:
        connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:key)"), {"key": key})
    except sqlalchemy.exc.DBAPIError as error:
        if LOCK_NOT_AVAILABLE not in (getattr(error.orig, "sqlstate", ""), getattr(error.orig, "pgcode", "")):
            raise
        return False
    return True
