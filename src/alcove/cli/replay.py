"""What a recording may do to the terminal that replays it: draw, and nothing else. Pure.

A recording holds whatever a program in the workspace wrote, so that it can hold sequences that set
the clipboard, or ask the terminal something that it answers as if somebody typed.
"""

import re
from dataclasses import dataclass
from typing import Final

HELD_MAX: Final = 64 << 10
"""Characters of a sequence without an end; what is longer is dropped with it."""
_STRINGS: Final = re.compile(
    r"(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c\x18\x1a]*+"
    r"(\x07|\x1b\\|\x9c|[\x18\x1a])?(?:\x1b\Z)?"
)
"""OSC, DCS, SOS, PM and APC: titles, the clipboard, links, questions, graphics. It matches one
without an end, too, so that the time that it takes grows with the length and no faster."""
_QUESTIONS: Final = re.compile(r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[cnptuxyqSR]|\x1bZ|\x05")
"""CSI sequences that are answered, or move the window; restoring the cursor (`u`) goes, too."""
_UNFINISHED: Final = re.compile(r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+\Z|\x1b\Z")


@dataclass(slots=True)
class Harmless:
    """Fed with output in order; a sequence may be split between two pieces of it."""

    _held: str = ""

    def feed(self, data: str) -> str:
        data, self._held = self._held + data, ""
        end = len(data)

        def dropped(found: re.Match[str]) -> str:
            if found[1] is None and found.end() == end:
                self._held = found[0][-HELD_MAX:] if end - found.start() <= HELD_MAX else ""
            elif found[0].endswith("\x1b"):
                self._held = "\x1b"
            return ""

        data = _QUESTIONS.sub("", _STRINGS.sub(dropped, data))
        if not self._held and (found := _UNFINISHED.search(data)) is not None:
            self._held = data[found.start() :][-HELD_MAX:]
            data = data[: found.start()]
        return data
