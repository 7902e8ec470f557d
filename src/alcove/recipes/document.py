"""YAML text into a tree that remembers its lines, within bounds.

Built from the parser's events, so that nothing is constructed before it is checked: no tags, no
anchors or aliases (and so no alias bombs), no duplicate keys, a limit on size, depth and count.
Plain scalars are read by the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema):
`yes` is a text, `010` is a text too, because readers disagree about it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NoReturn, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from alcove.recipes.problem import Report, quoted

DOCUMENT_MAX: Final = 256 * 1024
DEPTH_MAX: Final = 16
NODES_MAX: Final = 20_000
KEY_MAX: Final = 200

Scalar: TypeAlias = str | int | float | bool | None


@dataclass(slots=True)
class Node:
    """A scalar, a list or a mapping; `line` is 1-based, of its key if it has one."""

    line: int
    value: "Scalar | list[Node] | dict[str, Node]"
    plain: str | None = None
    """The text of an unquoted scalar, as written."""

    def at(self, *path: str | int) -> "Node":
        """The node below, or the nearest one above it that exists."""
        node = self
        for key in path:
            match node.value, key:
                case dict() as members, str() if key in members:
                    node = members[key]
                case list() as items, int() if key < len(items):
                    node = items[key]
                case _:
                    return node
        return node


def parse(data: bytes, report: Report) -> Node | None:
    """The document's tree, or None with the reason in the report. Never raises."""
    if len(data) > DOCUMENT_MAX:
        report.error(0, "", f"is {len(data)} bytes; the limit is {DOCUMENT_MAX}")
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        report.error(line, "", f"is not UTF-8 (byte {error.start})")
        return None
    try:
        return _Composer(report, _events(text)).compose()
    except _Refused:
        return None
    except (YAMLError, ValueError, IndexError, AssertionError) as error:
        # The parser has raised each of these on malformed input.
        line, said = _explain(error, text)
        report.error(line, "", f"is not YAML: {said}")
    return None


def _explain(error: Any, text: str) -> tuple[int, str]:
    """Line and cause, from a parser's error (which has marks) or a reader's (a position)."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    position = getattr(error, "position", None)
    if mark is not None:
        said = ": ".join(str(part) for part in (error.context, error.problem) if part)
        line = int(mark.line) + 1
    else:
        said = str(error).partition("\n")[0] or type(error).__name__
        line = text.count("\n", 0, position) + 1 if isinstance(position, int) else 0
    return line, "".join(c if c.isprintable() else "?" for c in said[:200])


class _Refused(Exception):
    """YAML that is well-formed and that we do not take; already reported."""


class _Kind(StrEnum):
    """The parser's event classes that matter here, by name."""

    DOCUMENT = "DocumentStartEvent"
    SCALAR = "ScalarEvent"
    LIST = "SequenceStartEvent"
    LIST_END = "SequenceEndEvent"
    MAPPING = "MappingStartEvent"
    MAPPING_END = "MappingEndEvent"
    ALIAS = "AliasEvent"
    OTHER = ""


@dataclass(frozen=True, slots=True)
class _Event:
    kind: _Kind
    line: int
    text: str
    plain: bool
    anchored: bool
    tag: str | None


def _events(text: str) -> Iterator[_Event]:
    """The parser's events in our types; the library's are not typed."""
    kinds = {kind.value: kind for kind in _Kind}
    parser: Any = YAML(typ="safe", pure=True)
    for event in parser.parse(text):
        yield _Event(
            kind=kinds.get(type(event).__name__, _Kind.OTHER),
            line=event.start_mark.line + 1,
            text=str(getattr(event, "value", "")),
            plain=not getattr(event, "style", None),
            anchored=getattr(event, "anchor", None) is not None,
            tag=getattr(event, "tag", None) and str(event.tag),
        )


class _Composer:
    """Turns events into nodes. Recursion is bounded by DEPTH_MAX."""

    def __init__(self, report: Report, events: Iterator[_Event]) -> None:
        self._report = report
        self._events = events
        self._count = 0

    def compose(self) -> Node | None:
        root: Node | None = None
        for event in self._events:
            if event.kind is _Kind.DOCUMENT:
                if root is not None:
                    self._refuse(event, "has a second document; only one is read")
                first = next(self._events)
                root = self._node(first, 0, first.line)
        if root is None:
            self._report.error(0, "", "is empty")
        return root

    def _node(self, event: _Event, depth: int, line: int) -> Node:
        self._admit(event, depth)
        if event.kind is _Kind.SCALAR:
            if event.plain:
                return Node(line, _resolve(event.text), event.text)
            return Node(line, event.text)
        if event.kind is _Kind.MAPPING:
            return self._mapping(line, depth)
        items: list[Node] = []
        while (event := next(self._events)).kind is not _Kind.LIST_END:
            items.append(self._node(event, depth + 1, event.line))
        return Node(line, items)

    def _mapping(self, line: int, depth: int) -> Node:
        members: dict[str, Node] = {}
        while (event := next(self._events)).kind is not _Kind.MAPPING_END:
            self._admit(event, depth + 1)
            if event.kind is not _Kind.SCALAR:
                self._refuse(event, "has a key that is not a text")
            if len(event.text) > KEY_MAX:
                self._refuse(event, f"has a key of {len(event.text)} characters")
            value = self._node(next(self._events), depth + 1, event.line)
            if event.text in members:
                said = f"stands twice; first on line {members[event.text].line}"
                self._report.error(event.line, quoted(event.text), said)
            else:
                members[event.text] = value
        return Node(line, members)

    def _admit(self, event: _Event, depth: int) -> None:
        self._count += 1
        if self._count > NODES_MAX:
            self._refuse(event, f"has more than {NODES_MAX} values")
        if depth > DEPTH_MAX:
            self._refuse(event, f"is nested deeper than {DEPTH_MAX} levels")
        if event.anchored or event.kind is _Kind.ALIAS:
            self._refuse(event, "uses an anchor or alias (& or *); write the value out")
        if event.tag is not None:
            self._refuse(event, f"uses the tag {quoted(event.tag)}; tags are not read")

    def _refuse(self, event: _Event, message: str) -> NoReturn:
        self._report.error(event.line, "", message)
        raise _Refused


_INT: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})?\.[0-9]{1,18}([eE][-+]?[0-9]{1,3})?")


def _resolve(text: str) -> Scalar:
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE"):
        return True
    if text in ("false", "False", "FALSE"):
        return False
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
