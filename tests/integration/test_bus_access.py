"""Coming onto a bus with roles: with the right key, with a wrong one, over TLS; and what is said about it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest

from bestex import bus, bus_access, bus_setup, config, reading, rights, streams, subjects
from bestex.bus_access import Access
from bestex.client import Client
from bestex.errors import BusError, ConfigError, Forbidden
from bestex.server import NatsServer
from bestex.tail import Tail

CONFIG = config.load(None, {})
START_S_MAX = 60.0


class Place:
    """A bus with roles and TLS, on loopback, and the ways onto it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.setup = bus_setup.init(folder / "bus", CONFIG, ("127.0.0.1", "localhost"))
        self.server = NatsServer()
        self.url = self.server.start(folder / "nats", setup=self.setup)

    def access(self, role: str) -> Access:
        return Access(self.url, role, self.setup.key(role), self.setup.ca)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("place"))
    yield made
    made.server.stop()


async def test_each_role_comes_in_and_knows_who_it_is(place: Place) -> None:
    assert place.url.startswith("tls://127.0.0.1:")
    for role in rights.roles(CONFIG):
        client = await bus.connect(place.access(role.name), "test")
        assert bus_access.role(client) == role.name
        await client.close()


async def test_a_raw_client_needs_an_address_a_key_file_and_the_authority(place: Place) -> None:
    from bestex import bus_tls

    assert place.setup.ca is not None
    client = await nats.connect(
        place.url, nkeys_seed=str(place.setup.key("user")), tls=bus_tls.context(place.setup.ca)
    )
    assert client.is_connected
    await client.close()


async def test_a_client_without_a_key_is_told_to_name_one(place: Place) -> None:
    with pytest.raises(BusError, match=r"asks for a key; name one in \[bus\] credentials"):
        await bus.connect(Access(place.url, "user", None, place.setup.ca), "test")


async def test_a_key_of_another_bus_is_refused_with_its_path(place: Place, tmp_path: Path) -> None:
    stranger = bus_setup.init(tmp_path, CONFIG).key("user")
    with pytest.raises(BusError, match=rf"does not know the key {stranger}"):
        await bus.connect(Access(place.url, "user", stranger, place.setup.ca), "test")


async def test_a_certificate_of_another_authority_is_not_trusted(place: Place, tmp_path: Path) -> None:
    other = bus_setup.init(tmp_path, CONFIG, ("127.0.0.1",))
    with pytest.raises(BusError, match=r"certificate of the bus at .* is not trusted"):
        await bus.connect(Access(place.url, "user", place.setup.key("user"), other.ca), "test")


async def test_a_certificate_for_another_name_is_not_trusted(tmp_path: Path) -> None:
    setup = bus_setup.init(tmp_path / "bus", CONFIG, ("elsewhere",))
    server = NatsServer()
    url = server.start(tmp_path / "nats", setup=setup)
    try:
        with pytest.raises(BusError, match="not trusted"):
            await bus.connect(Access(url, "user", setup.key("user"), setup.ca), "test")
    finally:
        server.stop()


async def test_an_open_key_is_refused_before_it_is_used(place: Place, tmp_path: Path) -> None:
    key = tmp_path / "user.nk"
    key.write_bytes(place.setup.key("user").read_bytes())
    key.chmod(0o644)
    with pytest.raises(ConfigError, match="mode 0644"):
        await bus.connect(Access(place.url, "user", key, place.setup.ca), "test")


async def test_the_key_of_another_role_is_told_from_the_right_one(place: Place) -> None:
    wrong = Access(place.url, "router", place.setup.key("gateway-sim_a"), place.setup.ca)
    with pytest.raises(Forbidden, match=r"key of role gateway-sim_a, and this needs the one of router"):
        await bus.connect(wrong, "test")


async def test_what_a_role_may_not_do_fails_at_once_and_says_who_may(place: Place) -> None:
    heard: list[Exception] = []
    client = await bus.connect(place.access("user"), "test", on_error=heard.append)
    with pytest.raises(Forbidden, match=r"role user may not publish to .*fill.*; .* key of role gateway"):
        await bus.publish(client, subjects.fill("sim_a", "BTC/USDT", "t1"), b"{}", timeout=START_S_MAX)
    await asyncio.sleep(0)  # it is told outside the connection's reader
    assert [type(error) for error in heard] == [Forbidden]
    with pytest.raises(Forbidden, match="key of role provisioner"):
        await bus.api(client, "STREAM.DELETE.ORDERS", {})
    await client.close()


async def test_a_subject_that_a_role_may_not_hear_is_told_too(place: Place) -> None:
    heard: list[Exception] = []
    client = await bus.connect(place.access("collector"), "test", on_error=heard.append)
    await client.subscribe(f"{subjects.ROOT}.fill.>")
    await client.request(rights.WHOAMI)
    assert [str(error) for error in heard] == [
        "role collector may not hear bestex.v1.fill.>; use the key of another role"
    ]
    await client.close()


async def test_streams_are_made_by_the_provisioner_read_and_followed_by_the_user(place: Place) -> None:
    provisioner = await bus.connect(place.access("provisioner"), "test")
    await streams.apply(provisioner, CONFIG)
    await provisioner.close()
    scheduler = await bus.connect(place.access("scheduler"), "test")
    user = await bus.connect(place.access("user"), "test")
    followed: list[int] = []
    tail = Tail(
        user, subjects.SCHED, [f"{subjects.ROOT}.parent.>"], lambda one: followed.append(one.seq), _fail
    )
    await tail.start()
    for number in range(5):
        ack = await bus.publish(scheduler, subjects.parent("BTC/USDT", f"p{number}", "accepted"), b"{}")
        assert ack.error is None
    found: list[int] = []
    count = await reading.read_all(
        user, subjects.SCHED, [f"{subjects.ROOT}.parent.>"], lambda one: found.append(one.seq)
    )
    assert (count, found) == (5, [1, 2, 3, 4, 5])
    while len(followed) < 5:
        await user.request(rights.WHOAMI)
    assert followed == found
    await tail.stop()
    for client in (scheduler, user):
        await client.close()


def _fail(error: Exception) -> None:
    raise error


async def test_the_library_takes_the_credentials_that_it_is_given(place: Place) -> None:
    chosen = config.load(None, {"BESTEX__BUS__CA": str(place.setup.ca)})
    async with Client(place.url, chosen, credentials=place.setup.key("user")) as client:
        assert bus_access.role(client.connection) == "user"


def test_a_service_with_the_key_of_another_ends_at_once_and_says_so(place: Place) -> None:
    environment = {
        **os.environ,
        "NATS_URL": place.url,
        "BESTEX__BUS__CA": str(place.setup.ca),
        "BESTEX__BUS__CREDENTIALS": str(place.setup.key("aggregator")),
        "BESTEX__DATA_DIR": str(place.folder),
    }
    done = subprocess.run(
        [sys.executable, "-m", "services.router"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=START_S_MAX,
    )
    assert done.returncode == 2, done.stderr
    assert "key of role aggregator, and this needs the one of router" in done.stderr
    assert place.setup.key("aggregator").read_text() not in done.stdout + done.stderr


def test_a_bus_does_not_listen_beyond_this_machine_without_tls(tmp_path: Path) -> None:
    with pytest.raises(BusError, match=r"does not listen on 0\.0\.0\.0 without TLS"):
        NatsServer().start(tmp_path / "nats", host="0.0.0.0", setup=bus_setup.init(tmp_path, CONFIG))
