"""What can be read in a recording: its text for searches, and its commands. Blocking.

What comes from a workspace is hostile: what is not a line of ours is skipped, and all is bounded.
"""

import json
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import unquote

TEXT_MAX: Final = 128 << 10
"""Characters that are searched of the beginning, and of the end, of a recording."""
RAW_MAX: Final = 4 * TEXT_MAX
SCAN_MAX: Final = 64 << 20
"""Bytes of a file that are looked through for commands."""
LINE_MAX: Final = 8 << 20
COMMANDS_MAX: Final = 1000
COMMAND_MAX: Final = 500
_ESCAPES: Final = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC
    r"|\x1b[PX^_][^\x1b]*(?:\x1b\\)?"  # DCS, SOS, PM, APC
    r"|\x1b\[[0-?]*[ -/]*[@-~]?"  # CSI
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROLS: Final = re.compile(r"[\x00-\x07\x0b-\x0d\x0e-\x1f\x7f-\x9f]")
_MARK: Final = re.compile(r"\x1b\](133|633);([A-E])((?:;[^\x07\x1b]*)?)(?:\x07|\x1b\\)")
_MARK_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Command:
    """Seconds since the beginning. `text` is empty where the shell does not say it."""

    at: float
    text: str
    ended_at: float | None = None
    exit_code: int | None = None


def text_of(path: Path) -> str:
    """The plain text of a recording, of a long one its beginning and its end; empty for a file
    that cannot be read."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            beginning = _collected(file, RAW_MAX)
            rest = file.tell()
            if size - rest <= 0:
                return plain(beginning)
            start = max(rest, size - 2 * RAW_MAX)
            file.seek(start)
            if start > rest:
                file.readline(LINE_MAX)
            end = _collected(file, 2 * RAW_MAX)
    except OSError:
        return ""
    return f"{plain(beginning)[:TEXT_MAX]}\n{plain(end)[-TEXT_MAX:]}"


def plain(text: str) -> str:
    """Without escape sequences, and with what backspaces took back gone. Characters that cannot
    be seen are dropped."""
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    if "\b" in text:
        text = "\n".join(_rubbed_out(line) for line in text.split("\n"))
    return _CONTROLS.sub("", text)


def commands_of(path: Path) -> list[Command]:
    """The commands that the shell marked as such (OSC 133 and 633), oldest first.

    A shell that marks nothing has none here: they are not guessed from prompts. Raises OSError.
    """
    marks = _Marks()
    seen = 0
    with path.open("rb") as file:
        while seen < SCAN_MAX and len(marks.found) < COMMANDS_MAX:
            line = file.readline(LINE_MAX)
            if not line:
                break
            seen += len(line)
            if (event := _event(line)) is not None and event[1] == "o":
                marks.feed(event[0], event[2])
    return marks.found


def _collected(file: BinaryIO, size: int) -> str:
    """The output in the next lines, until there is so much."""
    parts: list[str] = []
    while size > 0:
        line = file.readline(LINE_MAX)
        if not line:
            break
        if (event := _event(line)) is not None and event[1] == "o":
            parts.append(event[2])
            size -= len(event[2])
    return "".join(parts)


def _event(line: bytes) -> tuple[float, str, str] | None:
    try:
        said: object = json.loads(line)
    except (ValueError, RecursionError):
        return None
    match said:
        case [float() | int() as at, str() as kind, str() as data]:
            return float(at), kind, data
        case _:
            return None


def _rubbed_out(line: str) -> str:
    if "\b" not in line:
        return line
    kept: list[str] = []
    at = 0
    for character in line:
        if character == "\b":
            at = max(0, at - 1)
            continue
        del kept[at:]
        kept.append(character)
        at += 1
    return "".join(kept)


@dataclass(slots=True)
class _Marks:
    """Follows the marks of a shell: A a prompt, B what is typed, C its output, D its end."""

    found: list[Command] = field(default_factory=list[Command])
    _typed: list[str] | None = None
    _said: str = ""
    _open: bool = False
    _rest: str = ""

    def feed(self, at: float, data: str) -> None:
        data, self._rest = self._rest + data, ""
        # The beginning of a mark whose end comes with the next event.
        split = data.rfind("\x1b")
        if split >= 0 and len(data) - split < _MARK_MAX and _unfinished(data[split:]):
            data, self._rest = data[:split], data[split:]
        done = 0
        for mark in _MARK.finditer(data):
            self._text(data[done : mark.start()])
            done = mark.end()
            self._mark(at, mark[2], mark[3][1:])
        self._text(data[done:])

    def _text(self, text: str) -> None:
        if self._typed is not None and sum(map(len, self._typed)) < COMMAND_MAX * 8:
            self._typed.append(text)

    def _mark(self, at: float, letter: str, said: str) -> None:
        match letter:
            case "A":
                self._typed, self._said = None, ""
            case "B":
                self._typed = []
            case "E":
                self._said = _unescaped(said.partition(";")[0])
            case "C":
                self._begin(at, said)
            case _:
                self._end(at, said)

    def _begin(self, at: float, said: str) -> None:
        _, given, text = said.partition("cmdline_url=")
        text = unquote(text) if given else self._said or "".join(self._typed or ())
        text = " ".join(plain(text).split())[:COMMAND_MAX]
        self._typed, self._said = None, ""
        if len(self.found) < COMMANDS_MAX:
            self.found.append(Command(at, text))
            self._open = True

    def _end(self, at: float, said: str) -> None:
        if not self._open:
            return
        code = said.partition(";")[0]
        known = code.isascii() and code.isdecimal() and len(code) <= 3
        ended = replace(self.found[-1], ended_at=at, exit_code=int(code) if known else None)
        self.found[-1] = ended
        self._open = False


def _unfinished(text: str) -> bool:
    begins = "\x1b]133;".startswith(text[:6]) or "\x1b]633;".startswith(text[:6])
    return begins and "\x07" not in text


def _unescaped(text: str) -> str:
    """As VS Code writes a command: `\\\\` and `\\xAB`."""
    return re.sub(
        r"\\(?:\\|x([0-9a-fA-F]{2}))", lambda m: chr(int(m[1], 16)) if m[1] else "\\", text
    )
