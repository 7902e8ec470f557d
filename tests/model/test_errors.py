"""What errors carry besides their sentence."""

import pytest

from alcove.model.errors import (
    AlcoveError,
    DriverError,
    FieldError,
    Invalid,
    NoGrant,
    OutOfRange,
    TooMany,
)

FAULTS = [FieldError("cpu", "is over 8"), FieldError("disk", "is over 100")]


@pytest.mark.parametrize(
    "error",
    [
        Invalid("it did not work", FAULTS),
        NoGrant("slow_down", "it did not work"),
        TooMany("it did not work", retry_after_s=3),
        DriverError("it did not work", retry=True),
    ],
)
def test_it_reads_as_its_sentence_alone(error: AlcoveError) -> None:
    assert str(error) == "it did not work"


@pytest.mark.parametrize("kind", [Invalid, OutOfRange])
def test_every_field_at_fault_is_kept_as_it_was_then(kind: type[Invalid]) -> None:
    found = list(FAULTS)
    error = kind("the template is wrong", found)
    found.clear()
    assert error.errors == tuple(FAULTS)


def test_a_grant_that_is_missing_says_so_in_the_words_of_the_standard() -> None:
    assert NoGrant("authorization_pending", "wait").code == "authorization_pending"


def test_who_asks_too_much_is_told_how_long_to_wait() -> None:
    assert TooMany("slow down", retry_after_s=3).retry_after_s == 3


@pytest.mark.parametrize("retry", [True, False])
def test_a_driver_says_whether_trying_again_can_help(retry: bool) -> None:
    assert DriverError("the disk is full", retry=retry).retry is retry
