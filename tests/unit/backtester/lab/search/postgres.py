"""A PostgreSQL on loopback for tests: real, on a port and in a folder of its own."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from bestex.children import die_with_parent
from bestex.ports import claim_port
from tests import waiting

PLACES = "/usr/lib/postgresql/*/bin"  # where Debian has it, which puts it on no PATH
ACCOUNT = "postgres"  # of the system: the server refuses to run as root
USER, PASSWORD = "bestex", "s3cr3t-of-the-test"
STOP_S = 20  # a server without work stops at once


def binaries() -> Path | None:
    """The folder of the newest server's programs; None where there is none."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    there = [path for path in Path("/").glob(PLACES[1:]) if (path / "initdb").is_file()]
    return max(there, key=lambda path: float(path.parent.name), default=None)


def missing() -> str:
    """Why there can be none here; empty where there can."""
    if binaries() is None:
        return f"no PostgreSQL: neither initdb on the PATH nor {PLACES}"
    if os.geteuid() == 0 and ACCOUNT not in {one.pw_name for one in pwd.getpwall()}:
        return f"PostgreSQL does not run as root, and there is no user {ACCOUNT}"
    return ""


class Postgres:
    """Everybody needs a password, local connections too. Nothing is flushed to disk: it outlives no machine."""

    def __init__(self) -> None:
        bin_ = binaries()
        assert bin_ is not None, missing()
        self._bin = bin_
        self._folder = Path(tempfile.mkdtemp(prefix="bestex-pg-"))  # pytest's own lets no other user in
        self._as: dict[str, Any] = {"cwd": self._folder, "stdin": subprocess.DEVNULL}
        if os.geteuid() == 0:
            self._as |= {"user": ACCOUNT, "group": ACCOUNT, "extra_groups": []}
        self._claim = claim_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        return self._claim.port

    def url(self, database: str, user: str = USER, password: str = PASSWORD) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def create(self) -> None:
        """The cluster, and the server on it. AssertionError with the server's own words."""
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (self._folder, secret):
                shutil.chown(path, ACCOUNT, ACCOUNT)
        made = subprocess.run(
            [
                str(self._bin / "initdb"), "--pgdata=data", f"--username={USER}", "--pwfile=password",
                "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions",
            ],
            capture_output=True, text=True, check=False, **self._as,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        self.start()

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(self._bin / "postgres"), "-D", "data", "-p", str(self.port),
                    "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self._folder}",
                    "-c", "fsync=off", "-c", "autovacuum=off", "-c", "max_connections=20",
                    "-c", "shared_buffers=8MB", "-c", "wal_level=minimal", "-c", "max_wal_senders=0",
                ],
                stdout=log, stderr=log, preexec_fn=die_with_parent(), **self._as,
            )  # fmt: skip
        asyncio.run(waiting.until(self._answers))

    def _answers(self) -> bool:
        import psycopg

        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()
        try:
            psycopg.connect(self.url("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True

    def do(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """What it answers, nothing where it answers nothing."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            told = connection.execute(statement.encode())
            return told.fetchall() if told.description else []

    def stop(self) -> None:
        """Ends connections and waits until it is gone."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def remove(self) -> None:
        self.stop()
        self._claim.release()
        shutil.rmtree(self._folder)
