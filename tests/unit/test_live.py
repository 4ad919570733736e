"""Nothing goes out for real by omission."""

from __future__ import annotations

from pathlib import Path

import pytest

from bestex import live
from bestex.clock import AffineClock
from bestex.config import Config, parse
from bestex.errors import Code, ConfigError

LIMITS = """
[limits]
max_order_value = "1000"
[limits.open_orders]
binance_spot = 20
[[limits.exposure]]
venue = "binance_spot"
symbol = "BTC/USDT"
max_position = "0.1"
max_open_value = "5000"
"""


def config(more: str = "", limits: str = LIMITS, venue: str = 'mode = "live"') -> Config:
    return parse(
        f"""
        [venues.binance_spot]
        adapter = "ccxt"
        {venue}
        {more}
        [instruments."BTC/USDT"]
        price_scale = 2
        qty_scale = 5
        [instruments."BTC/USDT".venues]
        binance_spot = {{ tick = "0.01", lot = "0.00001" }}
        """
        + limits
    )


def keys(folder: Path, mode: int = 0o600) -> str:
    path = folder / "keys.toml"
    path.write_text('key = "abcdefgh"\nsecret = "ijklmnop"\n')
    path.chmod(mode)
    return f'keys = "{path}"'


def codes(made: Config) -> list[Code]:
    return [lack.code for lack in live.lacking("binance_spot", made)]


def test_what_nobody_has_said_is_paper_and_needs_nothing() -> None:
    made = config(limits="", venue="")
    assert made.venues["binance_spot"].kind == "paper"
    assert codes(made) == []


def test_live_needs_the_word_the_keys_and_the_limits(tmp_path: Path) -> None:
    made = config(keys(tmp_path))
    assert made.venues["binance_spot"].kind == "live"
    assert codes(made) == []
    live.check("binance_spot", made, AffineClock())


def test_without_keys_it_is_told_how_they_are_written() -> None:
    with pytest.raises(ConfigError, match=r"keys = \"FILE\".*live_without_keys.*or write mode = \"paper\""):
        live.check("binance_spot", config(), AffineClock())


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_keys_that_others_may_read_are_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConfigError, match=r"chmod 600 .*live_without_keys"):
        live.check("binance_spot", config(keys(tmp_path, mode)), AffineClock())


@pytest.mark.parametrize(
    ("left_out", "wanted"),
    [
        ('max_order_value = "1000"', '[limits.instruments."BTC/USDT"] max_order_value = "..."'),
        ("binance_spot = 20", "[limits.open_orders] binance_spot = 20"),
        ('max_position = "0.1"', 'venue = "binance_spot", symbol = "BTC/USDT", max_position = "..."'),
        ('max_open_value = "5000"', '[[limits.exposure]] venue = "binance_spot", max_open_value = "..."'),
    ],
)
def test_each_limit_that_is_missing_is_named_as_it_is_written(
    tmp_path: Path, left_out: str, wanted: str
) -> None:
    made = config(keys(tmp_path), limits=LIMITS.replace(left_out, ""))
    (lack,) = live.lacking("binance_spot", made)
    assert lack.code is Code.LIVE_WITHOUT_LIMITS
    assert lack.text.partition("; write ")[2].removeprefix("[[limits.exposure]] ") == wanted.removeprefix(
        "[[limits.exposure]] "
    )


def test_a_limit_of_one_account_or_another_venue_is_none(tmp_path: Path) -> None:
    limits = LIMITS.replace('venue = "binance_spot"', 'account = "desk"')
    assert codes(config(keys(tmp_path), limits=limits)) == [Code.LIVE_WITHOUT_LIMITS]


def test_limits_over_all_venues_count_too(tmp_path: Path) -> None:
    assert codes(config(keys(tmp_path), limits=LIMITS.replace('venue = "binance_spot"', ""))) == []


def test_in_a_replay_nothing_is_traded_for_real(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="in a replay nothing is traded for real"):
        live.check("binance_spot", config(keys(tmp_path)), AffineClock(speed=10.0))
    with pytest.raises(ConfigError, match=r"exchange.recordings.binance_spot: nobody trades for real"):
        config(limits=f'{LIMITS}[exchange.recordings]\nbinance_spot = ["a.rec"]\n')


@pytest.mark.parametrize(
    ("other", "is_refused"),
    [
        ('adapter = "ccxt"', True),
        ('adapter = "sim"', True),
        ('adapter = "sim"\nmode = "live"', True),
        ('adapter = "ccxt"\nmode = "live"', False),
        ('adapter = "ccxt"\nenabled = false', False),
    ],
)
def test_no_order_is_half_real(other: str, is_refused: bool) -> None:
    text = f"""
        [venues.binance_spot]
        adapter = "ccxt"
        mode = "live"
        [venues.bybit_spot]
        {other}
        [instruments."BTC/USDT"]
        price_scale = 2
        qty_scale = 5
        [instruments."BTC/USDT".venues]
        binance_spot = {{ tick = "0.01", lot = "0.00001" }}
        bybit_spot = {{ tick = "0.01", lot = "0.00001" }}
        """
    if not is_refused:
        parse(text)
        return
    with pytest.raises(
        ConfigError, match=r"binance_spot would trade for real, bybit_spot would not.*live_mixed"
    ):
        parse(text)
