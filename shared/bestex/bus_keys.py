"""The keys of the roles: one nkey seed a file, which only its owner can read.

A key is made once and never overwritten; rotating makes a new one, and the server must read its configuration
again. The seed never leaves its file: what the server is told is the public half.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

from bestex.errors import ConfigError

SUFFIX = ".nk"
FILE_MODE, DIR_MODE = 0o600, 0o700
# A group may read: it is how Kubernetes hands a secret to a process that is not root. Everybody may not.
FORBIDDEN_MODE = stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO
BYTES_MAX = 4096  # a seed has 58; a larger file is something else
RAW_SEED_BYTES = 32


def key_path(keys_dir: str | Path, role: str) -> Path:
    return Path(keys_dir) / f"{role}{SUFFIX}"


def make_keys(keys_dir: Path, roles: Iterable[str], rotate: Iterable[str] = ()) -> list[str]:
    """Make the keys that are missing, and those of `rotate` anew; the roles whose keys were made."""
    make_private_dir(keys_dir)
    again = set(rotate)
    made = []
    for role in roles:
        path = key_path(keys_dir, role)
        if role in again or not path.exists():
            write_private(path, _new_seed())
            made.append(role)
    return made


def public_keys(keys_dir: str | Path, roles: Iterable[str]) -> dict[str, str]:
    """The public half of each role's key. ConfigError where a file is missing, open to others or no seed."""
    return {role: public_key(key_path(keys_dir, role)) for role in roles}


def public_key(path: Path) -> str:
    import nkeys  # loads libsodium, which a process without a key does not need

    check(path)
    try:
        return str(nkeys.from_seed(bytearray(path.read_bytes().strip())).public_key.decode())
    except (nkeys.NkeysError, ValueError, OSError) as error:
        raise ConfigError(f"{path} holds no nkey seed ({type(error).__name__}); make it again") from None


def check(path: Path) -> None:
    """Raises ConfigError where `path` is no key file that this process alone (or its group) can read."""
    try:
        found = path.stat()
    except OSError as error:
        raise ConfigError(
            f"{path}: there is no key here ({error.strerror}); `bestex bus init` makes keys"
        ) from None
    if not stat.S_ISREG(found.st_mode) or found.st_size > BYTES_MAX:
        raise ConfigError(f"{path} is no key file")
    if found.st_mode & FORBIDDEN_MODE:
        mode = stat.S_IMODE(found.st_mode)
        raise ConfigError(f"{path} has mode {mode:04o}, others can use this key; run `chmod 600 {path}`")
    if not os.access(path, os.R_OK):
        raise ConfigError(f"{path}: this process may not read its key; it belongs to user {found.st_uid}")


def make_private_dir(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True, mode=DIR_MODE)
    path.chmod(DIR_MODE)


def write_private(path: Path, content: bytes, mode: int = FILE_MODE) -> None:
    """Replace the file as a whole; at no instant can others read it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _new_seed() -> bytes:
    import nkeys

    return bytes(nkeys.encode_seed(secrets.token_bytes(RAW_SEED_BYTES), nkeys.PREFIX_BYTE_USER))
