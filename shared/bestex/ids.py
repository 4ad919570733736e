"""Ids are functions of their inputs, so that a retry or a replay makes the same one."""

from __future__ import annotations

import hashlib
import re
import secrets
from functools import lru_cache

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
CHILD_ID_LENGTH = 18  # the longest client id that every venue takes; 93 bits, so no collision in practice
PARENT_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
_CHILD_ID = re.compile(rf"[a-z0-9]{{{CHILD_ID_LENGTH}}}")


def base36(number: int, length: int) -> str:
    """The last `length` base-36 digits of `number`, zero padded."""
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 36)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def digest(*parts: object) -> int:
    """A 128-bit integer that depends on every part and on where one part ends."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")


def child_id(symbol: str, parent_id: str, slice_no: int, decision_no: int, leg_no: int) -> str:
    """18 characters of [a-z0-9]: the same leg of the same decision always has the same id."""
    return base36(digest("child", symbol, parent_id, slice_no, decision_no, leg_no), CHILD_ID_LENGTH)


def is_child_id(text: str) -> bool:
    """Whether `text` has the form of a child's id; others' orders at a venue seldom do."""
    return _CHILD_ID.fullmatch(text) is not None


def seed(symbol: str, parent_id: str, *what: object) -> int:
    """A 64-bit seed for everything random about a parent."""
    return digest("seed", symbol, parent_id, *what) & 0xFFFF_FFFF_FFFF_FFFF


def is_parent_id(text: str) -> bool:
    return PARENT_ID.fullmatch(text) is not None


def new_parent_id() -> str:
    """A fresh id for a client that brings none: 16 random characters."""
    return base36(secrets.randbits(96), 16)


def parent_id_of_message(order_seq: int) -> str:
    """The id of an order that came without one: a function of its place in the ORDERS stream."""
    return f"o{order_seq}"


_NOT_TOKEN = re.compile(r"[^A-Za-z0-9_-]")
_TOKENS_KEPT = 4_096  # every symbol, venue and algorithm of a platform; each message's subject needs some


@lru_cache(_TOKENS_KEPT)
def token(text: str) -> str:
    """`text` as one NATS subject token: BTC/USDT:USDT becomes BTC-USDT-USDT."""
    return _NOT_TOKEN.sub("-", text)


_MASK = 0xFFFF_FFFF_FFFF_FFFF


def uniform(seed: int, index: int) -> float:
    """The `index`-th number in [0, 1) of the seed's sequence, without making those before it.

    SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    z = (seed + (index + 1) * 0x9E37_79B9_7F4A_7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB) & _MASK
    return ((z ^ (z >> 31)) >> 11) / (1 << 53)
