"""The only reader of the time. Everything else is given a Clock, so that tests move it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

Clock: TypeAlias = Callable[[], datetime]
"""Answers the present moment, with the UTC zone."""


def system_clock() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the one place
