"""What the well-known names mean."""

import pytest

from alcove.model.template import ParameterValue
from alcove.recipes.wellknown import ANYWHERE, TYPES, WellKnown, amount, shown, well_known

W = WellKnown


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        (W.CPU, 2, 2000),
        (W.CPU, 0.25, 250),
        (W.CPU, "1.5", 1500),
        (W.MEMORY, "512Mi", 512),
        (W.MEMORY, 4, 4096),
        (W.MEMORY, "4", 4096),
        (W.DISK, 0.5, 512),
        (W.TTL, "1h30m", 5400),
        (W.TTL_HOURS, 1.5, 5400),
        (W.TTL_HOURS, "4", 14400),
    ],
)
def test_a_value_means_an_amount(name: WellKnown, value: ParameterValue, found: int) -> None:
    assert amount(name, value) == found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (W.CPU, True),
        (W.CPU, ("1",)),
        (W.CPU, "1.2.3"),
        (W.CPU, "."),
        (W.CPU, "٢"),
        (W.CPU, 2000),
        (W.CPU, 0.01),
        (W.MEMORY, "4G"),
        (W.MEMORY, False),
        (W.TTL, 4),
        (W.TTL, "4"),
        (W.TTL_HOURS, "4h"),
        (W.TTL_HOURS, 10**15),
    ],
)
def test_what_means_none_is_refused(name: WellKnown, value: ParameterValue) -> None:
    with pytest.raises(ValueError, match=r"is not|is under|is over"):
        amount(name, value)


@pytest.mark.parametrize(
    ("name", "found", "text"),
    [
        (W.CPU, 8000, "8"),
        (W.CPU, 250, "0.25"),
        (W.MEMORY, 16384, "16Gi"),
        (W.DISK, 1536, "1536Mi"),
        (W.TTL, 86400, "24h"),
        (W.TTL, 7 * 86400, "7d"),
        (W.TTL, 90, "1m30s"),
    ],
)
def test_an_amount_is_shown_as_people_write_it(name: WellKnown, found: int, text: str) -> None:
    assert shown(name, found) == text


def test_every_name_says_how_it_may_be_declared() -> None:
    assert set(TYPES) == set(WellKnown)
    assert set(WellKnown) > ANYWHERE


def test_other_names_mean_nothing() -> None:
    assert well_known("cpu") is W.CPU
    assert well_known("task") is None
