"""The configuration is strict, and says where it is wrong."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from bestex import config
from bestex.errors import ConfigError
from bestex.human import Duration


def test_the_packaged_default_is_whole() -> None:
    loaded = config.load(None, {})
    instruments = loaded.make_instruments()
    assert loaded.enabled_venues() == ("sim_a", "sim_b", "sim_c", "sim_d")
    listing = instruments.by_token["BTC-USDT"].listing("sim_d")
    assert listing is not None
    assert (listing.tick, listing.lot, listing.maker_fee_e8) == (10, 100, -2000)


def test_ticks_may_depend_on_the_price() -> None:
    text = '[instruments."A/B".venues]\nx = { ticks = [["0", "0.05"], ["10", "0.2"]], lot = "0.01" }'
    (listing,) = config.parse(VENUE + text).make_instruments().by_symbol["A/B"].listings
    assert (listing.ticks, listing.tick) == (((0, 5), (1_000, 20)), 5)
    assert [listing.price_up(price) for price in (991, 996, 1_000, 1_001)] == [995, 1_000, 1_000, 1_020]


def test_a_file_is_found_by_argument_or_environment(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[execution]\nretries = 9\n")
    assert config.load(path, {}).execution.retries == 9
    assert config.load(None, {config.ENV_CONFIG: str(path)}).execution.retries == 9
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(tmp_path / "none.toml", {})


def test_the_environment_overlays_single_settings() -> None:
    loaded = config.load(
        None,
        {
            "BESTEX__EXECUTION__TIMEOUT": "7s",
            "BESTEX__VENUES__SIM_A__ENABLED": "false",
            "BESTEX__LIMITS__MAX_ORDER_QTY": "12.5",
        },
    )
    assert loaded.execution.timeout == Duration.parse("7s")
    assert "sim_a" not in loaded.enabled_venues()
    assert loaded.limits.max_order_qty == Decimal("12.5")
    assert loaded.make_instruments().by_symbol["BTC/USDT"].listing("sim_a") is None


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("BESTEX__EXECUTION__RETRIS", "execution: Object contains unknown field `retris`"),
        ("BESTEX__EXECUTION__RETRIES", "execution.retries: "),
        ("BESTEX__NOTHING", "Object contains unknown field `nothing`"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        config.load(None, {"BESTEX__DATA_DIR": "somewhere", variable: "x"})
    assert str(raised.value).startswith(f"{variable}: {said}")


def test_defaults_of_an_algorithm_and_a_strategy_are_taken() -> None:
    loaded = config.parse("[algos.twap]\nrandomize = 0.1\nslices = 5\n[strategies.sweep]\nmax_splits = 2")
    assert loaded.algos["twap"] == {"randomize": "0.1", "slices": 5}
    assert loaded.strategies["sweep"] == {"max_splits": 2}


VENUE = '[venues.x]\nadapter = "sim"\n[instruments."A/B"]\nprice_scale = 2\nqty_scale = 2\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[execution]\nretires = 3", "retires"),
        ('[execution]\ntimeout = "5 parsecs"', "execution.timeout"),
        ('[execution]\ntimeout = "0s"', "execution.timeout"),
        ("[execution]\nretries = -1", "execution.retries"),
        ('[execution]\nmax_slippage = "100%"', "execution.max_slippage"),
        ('[venues.x]\nmax_volume_pct = "140%"', "venues.x.max_volume_pct"),
        ('[venues.x]\nmax_volume_pct = "much"', "venues"),
        ('[venues.x]\nrate_share = "0%"', "venues.x.rate_share"),
        ('[venues.x]\nrate_share = "140%"', "venues.x.rate_share"),
        ("[venues.X-Y]", "venues"),
        ('[venues.x]\nadapter = "simm"', "venues.x.adapter: there is no simm; there are sim"),
        ('[execution]\ndefault_algo = "twop"', "execution.default_algo: there is no twop"),
        ('[execution]\ndefault_strategy = "sweeep"', "execution.default_strategy: there is no sweeep"),
        ("[algos.twop]", "algos.twop: there is no twop; there are market, limit, twap"),
        ('[algos.twap]\nduratoin = "5m"', "algos.twap: .*duratoin"),
        ('[algos.twap]\nduration = "5 parsecs"', "algos.twap.duration: "),
        ('[algos.twap]\ninterval = "0s"', "algos.twap: interval must be longer"),
        ("[strategies.sweeep]", "strategies.sweeep: there is no sweeep"),
        ('[strategies.sweep]\nmax_splits = "many"', "strategies.sweep.max_splits: "),
        ('[splitting]\nmax_splits = "ten"', "splitting.max_splits"),
        ("a =", "configuration"),
        (VENUE + '[instruments."A/B".venues]\ny = { tick = "0.01", lot = "0.01" }', "no such venue"),
        (VENUE + '[instruments."A/B".venues]\nx = { tick = "0.001", lot = "0.01" }', "A/B.venues.x.tick"),
        (VENUE + '[instruments."A/B".venues]\nx = { tick = "0", lot = "0.01" }', "must be positive"),
        (
            VENUE + '[instruments."A/B".venues]\nx = { tick = "0.01", lot = "0.02", min_qty = "0.03" }',
            "multiples",
        ),
        (VENUE + '[instruments."A/B".venues]\nx = { lot = "0.01" }', "A/B.venues.x: either tick or ticks"),
        (
            VENUE + '[instruments."A/B".venues]\nx = { tick = "1", ticks = [["0", "1"]], lot = "0.01" }',
            "A/B.venues.x: either tick or ticks",
        ),
        (
            VENUE + '[instruments."A/B".venues]\nx = { ticks = [["0", "0.001"]], lot = "0.01" }',
            "A/B.venues.x.ticks: 0.001 is finer",
        ),
        (
            VENUE + '[instruments."A/B".venues]\nx = { ticks = [["0", "2"], ["5", "1"]], lot = "0.01" }',
            "A/B.venues.x.ticks: each must begin on a price of its own grid",
        ),
    ],
)
def test_a_wrong_setting_is_refused_with_its_path(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("/", ".")):
        config.parse(text)


@pytest.mark.parametrize(
    ("volume", "taker", "maker"),
    [("0", "10", "8"), ("999999", "10", "8"), ("1000000", "7", "5"), ("9000000", "4", "-1")],
)
def test_fees_are_those_of_the_tier_that_was_reached(volume: str, taker: str, maker: str) -> None:
    text = f"""
[venues.a]
[instruments."X/Y"]
price_scale = 2
qty_scale = 3
[instruments."X/Y".venues.a]
tick = "0.01"
lot = "0.001"
taker_bps = "10"
maker_bps = "8"
traded_volume = "{volume}"
fee_tiers = [
  {{ volume = "5000000", taker_bps = "4", maker_bps = "-1" }},
  {{ volume = "1000000", taker_bps = "7", maker_bps = "5" }},
]
"""
    [listing] = config.parse(text).make_instruments().by_symbol["X/Y"].listings
    assert (listing.taker_fee_e8, listing.maker_fee_e8) == (int(taker) * 10_000, int(maker) * 10_000)
