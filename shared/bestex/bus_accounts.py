"""The server's accounts, made from the table of rights.

Each role is an account with one key. The streams' account has no key: nobody can be in it. Exports name the
accounts that may import them, and everything that a role may do towards others is an import of its account.
The permissions of the key say the same once more, so that a refusal is an error and not a silence.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from bestex.rights import BUS, Answer, Role

ANSWER_WITHIN = "1m"  # how long a service may still answer what it was asked


def render(roles: Iterable[Role], public_keys: Mapping[str, str]) -> str:
    """The `accounts` part of a nats-server configuration. `public_keys`: the key of each role, by its name."""
    accounts = accounts_of(tuple(roles), public_keys)
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(accounts[name])}" for name in accounts)
    return f"# Made from bestex's table of rights; `bestex bus init` makes it again.\naccounts: {{\n{lines}\n}}\n"


def accounts_of(roles: tuple[Role, ...], public_keys: Mapping[str, str]) -> dict[str, Any]:
    accounts: dict[str, Any] = {BUS: {"jetstream": "enabled", "exports": [], "imports": []}}
    for role in roles:
        user = {"nkey": public_keys[role.name], "permissions": permissions(role)}
        accounts[role.name] = {"users": [user], "exports": [], "imports": imports(role)}
    for name, account in accounts.items():
        account["exports"] = exports(name, roles)
    return accounts


def permissions(role: Role) -> dict[str, Any]:
    found: dict[str, Any] = {
        "publish": {"allow": list(role.may_publish)},
        "subscribe": {"allow": list(role.may_subscribe)},
    }
    if role.answers:
        found["allow_responses"] = {"max": 1, "expires": ANSWER_WITHIN}
    return found


def imports(role: Role) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for request in role.requests:
        item: dict[str, Any] = {"service": {"account": request.of, "subject": request.subject}}
        if request.local != request.subject:
            item["to"] = request.local
        found.append(item)
    for source in role.hears:
        item = {"stream": {"account": source.of, "subject": source.subject}}
        if (name := role.heard_as(source)) != source.subject:
            item["to"] = name
        found.append(item)
    return found


def exports(account: str, roles: tuple[Role, ...]) -> list[dict[str, Any]]:
    """What others import of `account`, each with the list of those who may."""
    services: dict[tuple[str, Answer], list[str]] = {}
    sources: dict[str, list[str]] = {}
    for role in roles:
        for request in role.requests:
            if request.of == account:
                services.setdefault((request.subject, request.answer), []).append(role.name)
        for source in role.hears:
            if source.of == account:
                sources.setdefault(source.subject, []).append(role.name)
    return [
        *(
            {"service": subject, "response_type": str(answer), "accounts": names}
            for (subject, answer), names in services.items()
        ),
        *({"stream": subject, "accounts": names} for subject, names in sources.items()),
    ]
