"""Listing files, and the lines of a workspace's log. Contents travel as raw bytes."""

from datetime import datetime

from alcove.wire.base import Answer


class FileEntry(Answer):
    """`type`: file, directory, symlink or other. `target` is a symlink's."""

    name: str
    path: str
    type: str
    size: int
    mode: str
    """Octal, such as `0644`."""
    modified_at: datetime | None = None
    target: str | None = None


class LogLine(Answer):
    """`source` names the step: `clone`, a script's name, `agent`, `image`."""

    offset: int
    at: datetime | None = None
    source: str
    line: str


class LogLines(Answer):
    items: list[LogLine]
    next_cursor: str | None = None
