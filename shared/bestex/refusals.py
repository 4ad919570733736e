"""What the bus's refusals mean, in sentences that say what to do."""

from __future__ import annotations

import re
import ssl

import nats.errors

from bestex import rights
from bestex.bus_access import Access
from bestex.errors import Forbidden

_VIOLATION = re.compile(r"permissions violation for (publish|subscription) to \"([^\"]+)\"", re.I)


def violation(role: str, error: Exception) -> tuple[str, Forbidden] | None:
    """The subject and what to say, where `error` is the server's word on a missing right."""
    found = _VIOLATION.search(str(error))
    if found is None:
        return None
    verb, subject = found.groups()
    if verb.lower() == "publish":
        writer = rights.writer_of(subject)
        remedy = f"that is for the key of role {writer}" if writer else "no role may"
        text = f"role {role or 'of this key'} may not publish to {subject}; {remedy}"
    else:
        text = f"role {role or 'of this key'} may not hear {subject}; use the key of another role"
    return subject, Forbidden(text)


def no_connection(access: Access, error: Exception) -> str:
    """Why there is no connection, and what to do."""
    if isinstance(error, ssl.SSLError):
        if access.ca is None:
            remedy = "name the authority that signed it in [bus] ca"
        else:
            remedy = f"{access.ca} did not sign it for this address"
        return f"the certificate of the bus at {access.url} is not trusted ({_reason(error)}); {remedy}"
    if isinstance(error, nats.errors.AuthorizationError) or "authorization" in str(error).lower():
        if access.key is None:
            return (
                f"the bus at {access.url} asks for a key; name one in [bus] credentials, or the folder of all in "
                "[bus] keys_dir"
            )
        return (
            f"the bus at {access.url} does not know the key {access.key}; take the key that was made with this "
            "bus, or let the bus read its accounts again"
        )
    return f"no bus at {access.url} ({type(error).__name__}); start one with `bestex up`"


def _reason(error: ssl.SSLError) -> str:
    return getattr(error, "verify_message", "") or str(error.reason or error)
