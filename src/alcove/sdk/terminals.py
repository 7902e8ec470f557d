"""What both clients know of terminals that one sits at."""

import json
from dataclasses import dataclass
from typing import Final

BEGINNING: Final = "0"
"""The place of somebody who has seen nothing."""
_CLEAR: Final = "\x1b[!p\x1b[?1049l\x1b[H\x1b[2J"
"""Soft reset, the main screen, and nothing on it; what was scrolled away stays."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How the program in a terminal ended."""

    exit_code: int
    signal: str | None


def kind_of(message: str) -> str:
    """The `type` of a message; empty for what is no JSON object."""
    try:
        said: object = json.loads(message)
    except ValueError:
        return ""
    match said:
        case {"type": str() as kind}:
            return kind
        case _:
            return ""


def shown_again(modes: str) -> bytes:
    """What a screen is to be written before output that does not follow what it shows."""
    return (_CLEAR + modes).encode()
