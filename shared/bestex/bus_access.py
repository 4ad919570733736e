"""The way onto the bus: its address, the role, the role's key, and the authority that signs the bus's certificate.

A bus without roles is met without a key. On one with roles, each process takes its own role's file: from
`[bus] credentials`, else from `[bus] keys_dir`, else from where a running `bestex up` keeps its keys.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

from nats.aio.client import Client

from bestex import bus_keys, rights
from bestex.bus_address import ENV_URL, find_url, read_note
from bestex.config import Config
from bestex.subjects import STORED

_role_of: WeakKeyDictionary[Client, str] = WeakKeyDictionary()


@dataclass(frozen=True)
class Access:
    """`key` and `ca` are None on a bus that asks nobody who they are, and where no TLS is spoken."""

    url: str
    role: str = ""
    key: Path | None = None
    ca: Path | None = None


def find(config: Config, role: str, url: str | None = None) -> Access:
    """How `role` comes onto the bus. `url` beats NATS_URL, a running `bestex up` and the configuration."""
    at = find_url(config) if url is None else url
    key = Path(config.bus.credentials) if config.bus.credentials else None
    ca = Path(config.bus.ca) if config.bus.ca else None
    if key is None and config.bus.keys_dir:
        key = bus_keys.key_path(config.bus.keys_dir, role)
    note = read_note(config.data_dir)
    if note is not None and note.url == at:
        if key is None and note.credentials:
            key = bus_keys.key_path(Path(note.credentials).parent, role)
        if ca is None and note.ca:
            ca = Path(note.ca)
    return Access(at, role, key, ca)


def of_service(config: Config, name: str, names: tuple[str, ...]) -> Access:
    """How a process of that service comes onto the bus. NATS_URL beats the configuration."""
    role = rights.role_of(name, names, config.enabled_venues())
    return find(config, role, os.environ.get(ENV_URL, config.bus.url))


def remember(client: Client, role: str) -> None:
    """The bus says that this connection is `role`'s."""
    _role_of[client] = role


def role(client: Client) -> str:
    """The role of a connection; empty on a bus without roles."""
    return _role_of.get(client, "")


def stored_subjects(client: Client, pattern: str) -> tuple[str, ...]:
    """Under which names this connection hears that a stream has stored what matches `pattern`. On a bus with roles
    it comes under the name that it was written to, except where it is written."""
    stored = f"{STORED}.{pattern}"
    return (stored, pattern) if role(client) else (stored,)


def api_subject(client: Client, what: str) -> str:
    """Where this connection finds JetStream's API."""
    return f"{rights.ROLE_API if role(client) else rights.API}.{what}"
