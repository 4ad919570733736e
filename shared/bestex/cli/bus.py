"""`bestex bus`: the keys, the rights and the certificates of a bus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from bestex.cli.common import COMMON, Common, print_json

bus_app = App(name="bus", help="The bus's keys, rights and certificates.", help_format="plaintext")


@bus_app.command
def init(
    folder: Path | None = None,
    /,
    *,
    host: Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)] = None,
    rotate: Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)] = None,
    owner: int | None = None,
    common: Common = COMMON,
) -> None:
    """Make a key for each role, the server's accounts, and with --host a certificate. Safe to repeat.

    bestex bus init
    bestex bus init deploy/bus --config deploy/config/bestex.toml --host nats localhost
    bestex bus init --rotate gateway

    `bestex up` does this by itself. A server of your own includes accounts.conf.

    Parameters
    ----------
    folder
        Where they are kept, else `bus` in the data directory.
    host
        The names and addresses by which clients find the server: it will speak TLS.
    rotate
        Roles that get a new key; the old one is void when the server has read its accounts again.
    owner
        The number of the user who shall own the services' keys, such as a container's; needs root.
    """
    from bestex import bus_setup, rights

    config = common.load()
    setup = bus_setup.init(
        folder or Path(config.data_dir) / "bus", config, tuple(host or ()), rotate=tuple(rotate or ())
    )
    if owner is not None:
        bus_setup.give_to(setup, config, owner)
    user = setup.key(rights.USER)
    if common.json:
        print_json(
            {
                "folder": str(setup.folder),
                "made": setup.made,
                "credentials": str(user),
                "ca": str(setup.ca or ""),
            }
        )
        return
    for name in setup.made:
        print(f"made {name}")
    print(f"{len(setup.made)} files made in {setup.folder}; what was there is kept")
    if rotate:
        print("the old keys are void when the bus has started again, or has read its accounts again")
    print(f"nats --nkey {user}{f' --tlsca {setup.ca}' if setup.ca else ''} sub 'bestex.v1.fill.>'")
    print(f"nats.connect(url, nkeys_seed={str(user)!r})")
