"""Patterns of template authors, matched without the risk of hanging the server.

RE2 has no backtracking: time is linear in the text, memory is bounded, and what would need more
(look-around, back-references) is refused when the template is read.
"""

from functools import lru_cache
from typing import Any, Final

import re2  # pyright: ignore[reportMissingTypeStubs]

MEMORY_MAX: Final = 1 << 20
"""Bytes for one compiled pattern; `((x{100}){100}){100}` does not fit."""


def check(pattern: str) -> None:
    """Raises ValueError, with the reason, for what RE2 cannot match."""
    _compile(pattern)


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text matches. Raises ValueError for what `check` refuses."""
    return _compile(pattern).fullmatch(text) is not None


@lru_cache(maxsize=256)
def _compile(pattern: str) -> Any:
    options: Any = re2.Options()
    options.log_errors = False
    options.max_mem = MEMORY_MAX
    library: Any = re2
    try:
        return library.compile(pattern, options)
    except library.error as error:
        cause = error.args[0]
        said = cause.decode(errors="replace") if isinstance(cause, bytes) else str(cause)
        raise ValueError(f"is not an RE2 pattern: {said}") from None
