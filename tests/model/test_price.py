"""Estimates of what a workspace costs."""

from decimal import Decimal

import pytest

from alcove.config import load
from alcove.model.errors import Invalid
from alcove.model.price import Prices, read_prices
from alcove.model.workspace import Resources

TWO_CORES = Resources(cpu_millis=2000, memory_mib=4096, disk_mib=10240, pids=1024)


def test_cores_and_memory_add_up() -> None:
    prices = Prices(Decimal("0.03"), Decimal("0.005"), "EUR")
    assert prices.hourly(TWO_CORES) == Decimal("0.08")


def test_parts_of_a_core_and_of_a_gib_count() -> None:
    half = Resources(cpu_millis=500, memory_mib=512, disk_mib=1024, pids=64)
    assert Prices(Decimal(1), Decimal(1), "EUR").hourly(half) == Decimal(1)


@pytest.mark.parametrize(
    ("amount", "said"),
    [("0", "0.00 EUR"), ("1.5", "1.50 EUR"), ("0.08", "0.08 EUR"), ("0.00123", "0.0012 EUR")],
)
def test_small_amounts_keep_their_digits(amount: str, said: str) -> None:
    assert Prices(Decimal(0), Decimal(0), "EUR").say(Decimal(amount)) == said


def test_without_a_price_there_is_no_estimate() -> None:
    assert read_prices("", "", "EUR") is None
    assert read_prices("0.03", "", "EUR") == Prices(Decimal("0.03"), Decimal(0), "EUR")


@pytest.mark.parametrize("text", ["free", "-1", "NaN", "Infinity", "1e99"])
def test_a_price_that_is_none_stops_the_start(text: str) -> None:
    with pytest.raises(Invalid, match="price_per_cpu_hour"):
        load({"ALCOVE_PRICE_PER_CPU_HOUR": text, "ALCOVE_PRICE_CURRENCY": "EUR"})


def test_a_price_needs_its_currency() -> None:
    with pytest.raises(Invalid, match="price_currency"):
        load({"ALCOVE_PRICE_PER_GIB_HOUR": "0.01"})
