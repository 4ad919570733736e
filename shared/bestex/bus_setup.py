"""The folder of a bus with roles: keys, accounts, certificates. What is there is kept; what is missing is made.

keys/<role>.nk   one nkey seed each, mode 0600
accounts.conf    the accounts and rights, with the public halves of the keys: for the server to include
tls/             ca.pem for every client; ca.key stays here; server.pem and server.key for the server
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bestex import bus_accounts, bus_keys, rights
from bestex.config import Config
from bestex.errors import UsageError

KEYS, ACCOUNTS, TLS = "keys", "accounts.conf", "tls"


@dataclass(frozen=True)
class Setup:
    """`made` names the files that were made just now, below `folder`. `tls`: the bus speaks TLS."""

    folder: Path
    made: tuple[str, ...]
    tls: bool

    @property
    def keys_dir(self) -> Path:
        return self.folder / KEYS

    @property
    def accounts(self) -> str:
        return (self.folder / ACCOUNTS).read_text()

    @property
    def ca(self) -> Path | None:
        return self.folder / TLS / "ca.pem" if self.tls else None

    @property
    def certificate(self) -> tuple[Path, Path] | None:
        """The server's certificate and its key."""
        return (self.folder / TLS / "server.pem", self.folder / TLS / "server.key") if self.tls else None

    def key(self, role: str) -> Path:
        return bus_keys.key_path(self.keys_dir, role)


def init(
    folder: str | Path, config: Config, hosts: Sequence[str] = (), *, rotate: Sequence[str] = ()
) -> Setup:
    """Make what is missing for the platform of `config`, and the keys of the roles in `rotate` anew. With `hosts`
    (names and addresses by which clients find the server) TLS too. UsageError for a role that does not exist.
    """
    folder = Path(folder).resolve()
    roles = rights.roles(config)
    names = [role.name for role in roles]
    for name in rotate:
        if name not in names:
            raise UsageError(f'there is no role "{name}"; there are {", ".join(names)}')
    bus_keys.make_private_dir(folder)
    made = [f"{KEYS}/{name}{bus_keys.SUFFIX}" for name in bus_keys.make_keys(folder / KEYS, names, rotate)]
    text = bus_accounts.render(roles, bus_keys.public_keys(folder / KEYS, names)).encode()
    accounts = folder / ACCOUNTS
    if not accounts.exists() or accounts.read_bytes() != text:
        bus_keys.write_private(accounts, text)
        made.append(ACCOUNTS)
    if hosts:
        from bestex import bus_tls  # its library is of no use on loopback

        made += [f"{TLS}/{name}" for name in bus_tls.make_tls(folder / TLS, hosts)]
    return Setup(folder, tuple(made), bool(hosts))


def give_to(setup: Setup, config: Config, uid: int) -> None:
    """Make `uid` the owner of the services' keys: the user of the containers that mount them. People keep theirs.
    Needs to be root."""
    for role in rights.roles(config):
        if role.name not in rights.PEOPLE:
            os.chown(setup.key(role.name), uid, uid)
