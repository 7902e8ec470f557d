"""Durations and sizes as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcove.model.units import (
    DURATION_MAX_S,
    format_duration,
    format_size,
    parse_duration,
    parse_size_mib,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("30m", 1800),
        ("4h", 14400),
        ("7d", 604800),
        ("1h30m", 5400),
        ("3650d", 315360000),
    ],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "4", "h", "4 h", "4H", "-4h", "1.5h", "4hm", "m4h", "0s", "3651d", "٤h", "1" * 10 + "s"],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not (a duration|between)"):
        parse_duration(text)


@given(st.integers(1, DURATION_MAX_S))
def test_a_duration_survives_being_written_and_read(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


def test_no_time_at_all_can_be_written() -> None:
    assert format_duration(0) == "0s"


@pytest.mark.parametrize(
    ("text", "mib"), [("512Mi", 512), ("20Gi", 20480), ("1Ti", 1048576), ("1024Mi", 1024)]
)
def test_a_size_is_read_in_mebibytes(text: str, mib: int) -> None:
    assert parse_size_mib(text) == mib


@pytest.mark.parametrize(
    "text", ["", "4", "4G", "4GB", "4gi", "0Gi", "-1Gi", "1.5Gi", "Gi", "4 Gi", "٤Gi"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size_mib(text)


@given(st.integers(1, 999_999_999))
def test_a_size_survives_being_written_and_read(mib: int) -> None:
    assert parse_size_mib(format_size(mib)) == mib


def test_a_size_is_written_in_gibibytes_when_it_is_whole() -> None:
    assert [format_size(n) for n in (0, 1, 1024, 1536, 20480)] == [
        "0Mi",
        "1Mi",
        "1Gi",
        "1536Mi",
        "20Gi",
    ]
