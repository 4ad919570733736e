"""Keys and certificates as files: who can read them, and that none is lost."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

import pytest

from bestex import bus_keys, bus_setup, bus_tls, config
from bestex.bus_access import find
from bestex.bus_address import BusNote, write_note
from bestex.cli.main import run
from bestex.errors import ConfigError, UsageError

CONFIG = config.load(None, {})


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_everything_secret_is_for_its_owner_alone(tmp_path: Path) -> None:
    setup = bus_setup.init(tmp_path / "bus", CONFIG, ("nats", "127.0.0.1"))
    for folder in (setup.folder, setup.keys_dir, setup.folder / "tls"):
        assert mode(folder) == 0o700
    secret = [*setup.keys_dir.iterdir(), *(setup.folder / "tls").glob("*.key")]
    assert len(secret) > 10
    assert {mode(path) for path in secret} == {0o600}
    assert setup.ca is not None
    assert mode(setup.ca) == 0o644


def test_doing_it_again_makes_nothing_and_changes_nothing(tmp_path: Path) -> None:
    first = bus_setup.init(tmp_path, CONFIG, ("nats",))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    again = bus_setup.init(tmp_path, CONFIG, ("nats",))
    assert first.made
    assert again.made == ()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_rotating_makes_one_key_anew_and_tells_the_server_of_it(tmp_path: Path) -> None:
    setup = bus_setup.init(tmp_path, CONFIG)
    old, other = bus_keys.public_key(setup.key("router")), setup.key("user").read_bytes()
    assert old in setup.accounts
    again = bus_setup.init(tmp_path, CONFIG, rotate=("router",))
    assert set(again.made) == {"keys/router.nk", "accounts.conf"}
    assert old not in again.accounts
    assert bus_keys.public_key(again.key("router")) in again.accounts
    assert again.key("user").read_bytes() == other


def test_an_unknown_role_is_not_rotated(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r'no role "ruoter"; there are .*router'):
        bus_setup.init(tmp_path, CONFIG, rotate=("ruoter",))


def test_the_accounts_hold_no_seed(tmp_path: Path) -> None:
    setup = bus_setup.init(tmp_path, CONFIG)
    for path in setup.keys_dir.iterdir():
        assert path.read_text() not in setup.accounts


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    key = bus_setup.init(tmp_path, CONFIG).key("user")
    key.chmod(0o644)
    with pytest.raises(ConfigError, match=r"mode 0644, others can use this key; run `chmod 600"):
        bus_keys.check(key)


def test_a_key_that_a_group_may_read_is_taken_as_kubernetes_hands_it_over(tmp_path: Path) -> None:
    key = bus_setup.init(tmp_path, CONFIG).key("user")
    key.chmod(0o440)
    bus_keys.check(key)


@pytest.mark.parametrize(("content", "reason"), [(b"hello", "no nkey seed"), (b"x" * 5000, "no key file")])
def test_what_is_no_key_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "user.nk"
    bus_keys.write_private(path, content)
    with pytest.raises(ConfigError, match=reason):
        bus_keys.public_key(path)


def test_a_missing_key_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="bestex bus init"):
        bus_keys.check(tmp_path / "user.nk")


def test_a_certificate_is_made_anew_for_a_new_name_under_the_same_authority(tmp_path: Path) -> None:
    bus_setup.init(tmp_path, CONFIG, ("nats",))
    ca = (tmp_path / "tls" / bus_tls.CA).read_bytes()
    again = bus_setup.init(tmp_path, CONFIG, ("nats", "bus.example"))
    assert set(again.made) == {"tls/server.pem", "tls/server.key"}
    assert (tmp_path / "tls" / bus_tls.CA).read_bytes() == ca


def test_a_client_checks_the_certificate_and_the_name(tmp_path: Path) -> None:
    setup = bus_setup.init(tmp_path, CONFIG, ("nats",))
    assert setup.ca is not None
    context = bus_tls.context(setup.ca)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    with pytest.raises(ConfigError, match=r"bus\.ca: .* is no certificate"):
        bus_tls.context(setup.key("user"))


def test_a_process_finds_its_own_roles_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NATS_URL", raising=False)
    loaded = config.load(None, {"BESTEX__DATA_DIR": str(tmp_path)})
    assert find(loaded, "user").key is None, "a bus that somebody else runs may ask for none"
    write_note(tmp_path, BusNote(url="nats://127.0.0.1:7", pid=1, credentials="/keys/user.nk"))
    assert find(loaded, "monitor").key == Path("/keys/monitor.nk")
    assert find(loaded, "monitor", "nats://elsewhere:4222").key is None
    folder = config.load(None, {"BESTEX__BUS__KEYS_DIR": "/other"})
    assert find(folder, "router").key == Path("/other/router.nk")
    one = config.load(None, {"BESTEX__BUS__KEYS_DIR": "/other", "BESTEX__BUS__CREDENTIALS": "/mine.nk"})
    assert find(one, "router").key == Path("/mine.nk")


def test_the_command_says_what_a_raw_client_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bus", "init", str(tmp_path / "bus"), "--host", "nats", "localhost"]) == 0
    said = capsys.readouterr().out
    key, ca = tmp_path / "bus" / "keys" / "user.nk", tmp_path / "bus" / "tls" / "ca.pem"
    assert f"nats --nkey {key} --tlsca {ca} sub 'bestex.v1.fill.>'" in said
    assert key.read_text() not in said
