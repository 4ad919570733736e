"""Keys of Coinbase: a name, and a private key of the curve P-256 that signs a token for each request.

https://docs.cdp.coinbase.com/get-started/authentication/jwt-authentication
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.emulators.server import Key

ISSUERS = {"cdp", "coinbase-cloud"}
LASTS_S = 120  # a token, at most
AHEAD_S = 5  # by which the client's clock may be ahead


def make_key(name: str = "emulator", account: str = "default", *, can_trade: bool = True) -> Key:
    """The same for the same name."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest(), "big") >> 1
    private = ec.derive_private_key(number, ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    return Key(f"organizations/emulated/apiKeys/{name}", pem, account=account, can_trade=can_trade)


def is_signed(token: str, key: Key) -> bool:
    signed, _, signature = token.rpartition(".")
    raw = _decoded(signature)
    try:
        private = load_pem_private_key(key.secret.encode(), None)
        assert isinstance(private, ec.EllipticCurvePrivateKey)
        numbers = (int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        der = encode_dss_signature(*numbers)
        private.public_key().verify(der, signed.encode(), ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return len(raw) == 64


def name_in(token: str) -> str:
    return str(_part(token, 0).get("kid", ""))


def is_good(token: str, key: Key, now_s: float, uri: str) -> bool:
    """Of this key, now, and for the request `METHOD host/path`; a websocket's is for none."""
    head, said = _part(token, 0), _part(token, 1)
    try:
        begins, ends = float(said["nbf"]), float(said["exp"])
    except (KeyError, ValueError, TypeError):
        return False
    # ccxt takes "https://" off the address, and leaves "http://" of an address of a test.
    named = str(said.get("uri", "")).replace("http://", "")
    return (
        head.get("alg") == "ES256"
        and said.get("sub") == key.key
        and said.get("iss") in ISSUERS
        and begins <= now_s + AHEAD_S
        and now_s < ends <= begins + LASTS_S
        and named == uri
        and is_signed(token, key)
    )


def _decoded(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return b""


def _part(token: str, place: int) -> dict[str, Any]:
    parts = token.split(".")
    try:
        found = orjson.loads(_decoded(parts[place])) if len(parts) == 3 else {}
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
