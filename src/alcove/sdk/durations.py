"""Durations as callers write them."""

import math


def duration(value: str | float | None) -> str | None:
    """`"5m"` as it is, seconds as text; at least one second, for the API counts in seconds."""
    if value is None or isinstance(value, str):
        return value
    return f"{max(1, math.ceil(value))}s"
