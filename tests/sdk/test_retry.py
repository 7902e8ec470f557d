"""What is tried again, and when."""

from datetime import UTC, datetime

import pytest

from alcove.sdk.retry import (
    RETRIES,
    RETRY_AFTER_MAX_S,
    WAIT_MAX_S,
    Answer,
    Broken,
    Repeat,
    parse_retry_after,
    wait_before_retry,
)


def wait(
    outcome: Answer | Broken, repeat: Repeat = Repeat.SAFE, *, attempt: int = 1
) -> float | None:
    return wait_before_retry(outcome, repeat=repeat, attempt=attempt, retries=RETRIES, jitter=0.5)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_safe_call_is_repeated_after_a_passing_failure(status: int) -> None:
    assert wait(Answer(status, None)) is not None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 500, 501])
def test_a_decision_of_the_server_is_final(status: int) -> None:
    assert wait(Answer(status, None)) is None


def test_a_safe_call_is_repeated_when_the_connection_was_lost() -> None:
    assert wait(Broken.LOST) is not None


@pytest.mark.parametrize("outcome", [Broken.LOST, Answer(502, None), Answer(503, 1.0)])
def test_what_may_have_been_done_is_not_done_twice(outcome: Answer | Broken) -> None:
    assert wait(outcome, Repeat.UNSENT) is None


@pytest.mark.parametrize("outcome", [Broken.UNSENT, Answer(429, None)])
def test_what_was_surely_not_done_is_tried_again(outcome: Answer | Broken) -> None:
    assert wait(outcome, Repeat.UNSENT) is not None


@pytest.mark.parametrize("outcome", [Broken.UNSENT, Answer(429, None), Answer(503, None)])
def test_a_stream_that_cannot_be_read_twice_is_never_repeated(outcome: Answer | Broken) -> None:
    assert wait(outcome, Repeat.NEVER) is None


def test_repetition_ends() -> None:
    assert wait(Broken.UNSENT, attempt=RETRIES) is not None
    assert wait(Broken.UNSENT, attempt=RETRIES + 1) is None


def test_pauses_grow_and_are_bounded() -> None:
    pauses = [
        wait_before_retry(Broken.UNSENT, repeat=Repeat.SAFE, attempt=n, retries=99, jitter=0.999)
        for n in range(1, 20)
    ]
    known = [pause for pause in pauses if pause is not None]
    assert known == sorted(known)
    assert known[0] < known[-1] <= WAIT_MAX_S


def test_the_server_says_when_to_come_back() -> None:
    assert wait(Answer(429, 7.0)) == 7.0


def test_a_server_that_asks_for_too_long_is_not_waited_for() -> None:
    assert wait(Answer(429, RETRY_AFTER_MAX_S + 1)) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("5", 5.0),
        ("soon", None),
        ("Wed, 01 Jan 2025 00:00:30 GMT", 30.0),
        ("Wed, 01 Jan 2020 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header, lambda: datetime(2025, 1, 1, tzinfo=UTC)) == seconds
