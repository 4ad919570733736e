from __future__ import annotations

import subprocess
import sys

import pytest

from bestex.errors import ConfigError
from bestex.process import ENV_HTTP_PORT, http_port


@pytest.mark.parametrize(("text", "port"), [("", 0), ("0", 0), ("9000", 9000), ("65535", 65535)])
def test_the_port_of_the_probes_is_read(text: str, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_HTTP_PORT, text)
    assert http_port() == port


@pytest.mark.parametrize("text", ["abc", "-1", "65536", "70000", "80.5"])
def test_what_is_no_port_is_refused_and_not_wrapped_around(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENV_HTTP_PORT, text)
    with pytest.raises(ConfigError, match=ENV_HTTP_PORT):
        http_port()


def test_a_service_starts_without_the_web_library_and_may_use_it_all_the_same() -> None:
    code = (
        "import sys, services.router.__main__; assert 'aiohttp' not in sys.modules; "
        "import aiohttp; assert aiohttp.ClientSession"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
