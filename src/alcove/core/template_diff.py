"""What changed between two versions of a template: its files, line by line, and what those files
come to. Pure, and bounded: a template has up to four mebibytes, which nobody reads at once.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

import anyio

from alcove.core import templates
from alcove.core.app import Core
from alcove.model.access import Actor
from alcove.model.template import Recipe
from alcove.model.units import format_duration

FILE_BYTES_MAX: Final = 128 * 1024
FILE_LINES_MAX: Final = 3000
"""Longer files are only said to differ: comparing takes the square of it at worst."""
LINES_MAX: Final = 4000
"""Of all files together."""
WIDTH_MAX: Final = 500
CONTEXT: Final = 3
_SKIPPED: Final = frozenset({"name", "icon"})


class FileChange(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


class LineKind(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    SAME = "same"
    HUNK = "hunk"
    """`@@ -1,4 +1,5 @@`: where what follows stands."""


@dataclass(frozen=True, slots=True)
class Line:
    kind: LineKind
    text: str
    """Without the mark at its beginning."""


@dataclass(frozen=True, slots=True)
class FileDiff:
    path: str
    change: FileChange
    lines: Sequence[Line]
    note: str = ""
    """Why there are no lines, or not all: "binary", "too large to compare"."""

    @property
    def added(self) -> int:
        return sum(line.kind is LineKind.ADDED for line in self.lines)

    @property
    def removed(self) -> int:
        return sum(line.kind is LineKind.REMOVED for line in self.lines)


@dataclass(frozen=True, slots=True)
class RecipeChange:
    """A value that the files come to. Empty text: there is none."""

    field: str
    """`resources.memory`, `parameters.cpu.max`, `network`."""
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Diff:
    template: str
    before: int
    after: int
    files: Sequence[FileDiff]
    recipe: Sequence[RecipeChange]
    cut: bool
    """There is more than is shown."""


async def compare(core: Core, actor: Actor, name: str, *, before: int, after: int) -> Diff:
    """What one sees who goes from one version to the other. Raises NotFound, Denied."""
    first = await templates.version(core, actor, name, before)
    second = await templates.version(core, actor, name, after)
    old = await templates.files(core, actor, name, before)
    new = await templates.files(core, actor, name, after)
    # Off the loop: thousands of lines take a while.
    files, cut = await anyio.to_thread.run_sync(of_files, old, new)
    changes = of_recipes(first.recipe, second.recipe)
    return Diff(name, before, after, files, changes, cut)


def of_files(
    old: Mapping[str, bytes], new: Mapping[str, bytes]
) -> tuple[Sequence[FileDiff], bool]:
    """By path, and whether lines were left out because there are too many."""
    found: list[FileDiff] = []
    left, cut = LINES_MAX, False
    for path in sorted(old.keys() | new.keys()):
        before, after = old.get(path), new.get(path)
        if before == after:
            continue
        one = _of_file(path, before, after)
        if len(one.lines) > left:
            note = "the rest is left out" if left else "left out: there is too much before it"
            one = FileDiff(one.path, one.change, one.lines[:left], note)
            cut = True
        left -= len(one.lines)
        found.append(one)
    return found, cut


def of_recipes(old: Recipe, new: Recipe) -> Sequence[RecipeChange]:
    """The resolved values that differ, in the order of their names."""
    before, after = _flat(old), _flat(new)
    return [
        RecipeChange(name, before.get(name, ""), after.get(name, ""))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _of_file(path: str, before: bytes | None, after: bytes | None) -> FileDiff:
    change = FileChange.CHANGED
    if before is None:
        change = FileChange.ADDED
    elif after is None:
        change = FileChange.REMOVED
    old, new = _lines(before or b""), _lines(after or b"")
    if isinstance(old, str) or isinstance(new, str):
        return FileDiff(path, change, (), old if isinstance(old, str) else str(new))
    hunks = difflib.unified_diff(old, new, n=CONTEXT, lineterm="")
    found = [_line(text) for number, text in enumerate(hunks) if number >= 2]
    return FileDiff(path, change, found, "" if found else "only the end of a line differs")


def _lines(data: bytes) -> list[str] | str:
    """The lines of a text, or why there are none."""
    if len(data) > FILE_BYTES_MAX:
        return f"too large to compare: {len(data) // 1024} KiB"
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return "binary"
    if "\0" in text:
        return "binary"
    lines = text.splitlines()
    if len(lines) > FILE_LINES_MAX:
        return f"too long to compare: {len(lines)} lines"
    return lines


def _line(text: str) -> Line:
    mark, rest = text[:1], text[1:]
    if len(rest) > WIDTH_MAX:
        rest = rest[:WIDTH_MAX] + " …"
    match mark:
        case "+":
            return Line(LineKind.ADDED, rest)
        case "-":
            return Line(LineKind.REMOVED, rest)
        case "@":
            return Line(LineKind.HUNK, text)
        case _:
            return Line(LineKind.SAME, rest)


def _flat(recipe: Recipe) -> Mapping[str, str]:
    """`resources.memory` → `4096 MiB`. What is a list of named things is told by their names."""
    found: dict[str, str] = {}
    # By way of JSON: enumerations become their words, tuples lists.
    plain: dict[str, Any] = json.loads(json.dumps(asdict(recipe), default=str))
    for name, value in plain.items():
        if name not in _SKIPPED:
            _put(found, name, value)
    return found


def _put(found: dict[str, str], name: str, value: Any) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():  # pyright: ignore[reportUnknownVariableType]
            _put(found, f"{name}.{key}", inner)
    elif isinstance(value, list) and value and all(isinstance(v, dict) for v in value):  # pyright: ignore[reportUnknownVariableType]
        for number, inner in enumerate(value):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            label: Any = inner.get("name", number)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
            rest = {k: v for k, v in inner.items() if k != "name"}  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
            _put(found, f"{name}.{label}", rest or "there")
    elif value is not None and value != [] and value != "":
        plain, said = _said(name, value)
        found[plain] = said


def _said(name: str, value: Any) -> tuple[str, str]:
    """The name without its unit, and the value with it."""
    if isinstance(value, bool):
        return name, "yes" if value else "no"
    if isinstance(value, int):
        if name.endswith("_mib"):
            return name.removesuffix("_mib"), f"{value} MiB"
        if name.endswith("_millis"):
            return name.removesuffix("_millis"), f"{value / 1000:g} cores"
        if name.endswith("_s"):
            return name.removesuffix("_s"), format_duration(value)
    if isinstance(value, list):
        return name, ", ".join(str(one) for one in value)[:WIDTH_MAX]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return name, str(value)[:WIDTH_MAX]
