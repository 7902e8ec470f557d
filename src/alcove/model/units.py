"""Durations (`"90s"`, `"30m"`, `"4h"`, `"7d"`) and sizes (`"512Mi"`, `"20Gi"`)."""

import re
from typing import Final

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MIB: Final = {"Mi": 1, "Gi": 1024, "Ti": 1024 * 1024}
DURATION_MAX_S: Final = 10 * 365 * 86400


def parse_duration(text: str) -> int:
    """Seconds in a duration; parts may be combined (`"1h30m"`). Raises ValueError."""
    parts = re.findall(r"([0-9]{1,9})([smhd])", text)
    if not parts or "".join(n + unit for n, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration; write it like 90s, 30m, 4h or 7d")
    seconds = sum(int(n) * _SECONDS[unit] for n, unit in parts)
    if not 0 < seconds <= DURATION_MAX_S:
        raise ValueError(f"{text!r} is not between 1s and 10 years")
    return seconds


def format_duration(seconds: int) -> str:
    """The shortest exact form: 5400 → `"1h30m"`."""
    parts: list[str] = []
    for unit, size in reversed(_SECONDS.items()):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_size_mib(text: str) -> int:
    """MiB in a size. Raises ValueError; sizes below one MiB do not occur."""
    found = re.fullmatch(r"([0-9]{1,9})(Mi|Gi|Ti)", text)
    if found is None or not int(found[1]):
        raise ValueError(f"{text!r} is not a size; write it like 512Mi or 20Gi")
    return int(found[1]) * _MIB[found[2]]


def format_size(mib: int) -> str:
    return f"{mib // 1024}Gi" if mib % 1024 == 0 and mib else f"{mib}Mi"
