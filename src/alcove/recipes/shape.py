"""A small language for what a document may look like: one declaration, two uses.

`read` checks a node and answers plain values; `schema` answers the JSON Schema of the same rule,
so that the published schema cannot drift from the reader. Rules between fields are not here.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from alcove.model.units import parse_duration, parse_size_mib
from alcove.recipes.document import Node
from alcove.recipes.problem import Report, did_you_mean, listed, quoted


class Bad:
    """Stands for a value that was at fault; its problem is in the report."""


BAD: Final = Bad()


class Part(dict[str, Any]):
    """What a table read, and the node that it read it from."""

    def __init__(self, values: Mapping[str, object], node: Node) -> None:
        super().__init__(values)
        self.node = node

    def line(self, *path: str | int) -> int:
        """Of the value at the path, or of the nearest one above it."""
        return self.node.at(*path).line

    def names(self, name: str) -> bool:
        """Whether the field stands there, fine or not."""
        return isinstance(self.node.value, dict) and name in self.node.value


class Shape(Protocol):
    def read(self, node: Node, path: str, report: Report) -> object:
        """The plain value, or BAD after reporting why. Parts at fault are left out of it."""
        ...

    def schema(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Text:
    max: int = 200
    min: int = 0
    pattern: str | None = None
    """Must match as a whole; in the syntax that Python and JSON Schema share."""
    says: str = ""
    """What the pattern wants, for people."""
    lines: bool = False
    """Whether line breaks and tabs may occur."""

    def read(self, node: Node, path: str, report: Report) -> object:
        value = node.value
        if not isinstance(value, str):
            hint = f'; write "{node.plain}" in quotes' if node.plain else ""
            return _bad(node, path, report, f"expected a text, got {_kind(node)}{hint}")
        if not self.min <= len(value) <= self.max:
            bounds = f"{self.min} to {self.max}" if self.min else f"at most {self.max}"
            said = f"has {len(value)} characters; {bounds} are allowed"
            return _bad(node, path, report, said)
        if found := unprintable(value, lines=self.lines):
            return _bad(node, path, report, f"has the character {found}")
        if self.pattern is not None and re.fullmatch(self.pattern, value) is None:
            return _bad(node, path, report, f"{quoted(value)} is not {self.says}")
        return value

    def schema(self) -> dict[str, Any]:
        rule: dict[str, Any] = {"type": "string", "maxLength": self.max}
        if self.min:
            rule["minLength"] = self.min
        if self.pattern is not None:
            rule["pattern"] = f"^(?:{self.pattern})$"
        return rule


@dataclass(frozen=True, slots=True)
class Choice:
    values: tuple[str, ...]

    def read(self, node: Node, path: str, report: Report) -> object:
        if isinstance(node.value, str) and node.value in self.values:
            return node.value
        near = did_you_mean(node.value, self.values) if isinstance(node.value, str) else ""
        said = f"{_shown(node)} is not {listed(self.values)}{near}"
        return _bad(node, path, report, said)

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.values)}


@dataclass(frozen=True, slots=True)
class Flag:
    def read(self, node: Node, path: str, report: Report) -> object:
        if isinstance(node.value, bool):
            return node.value
        return _bad(node, path, report, f"expected true or false, got {_kind(node)}")

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Number:
    min: float
    max: float
    whole: bool = False

    def read(self, node: Node, path: str, report: Report) -> object:
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            return _bad(node, path, report, f"expected a number, got {_kind(node)}")
        if self.whole and value != int(value if math.isfinite(value) else 0):
            return _bad(node, path, report, f"{quoted(value)} is not a whole number")
        if not self.min <= value <= self.max:
            said = f"{quoted(value)} is not between {self.min:.15g} and {self.max:.15g}"
            return _bad(node, path, report, said)
        return int(value) if self.whole else value

    def schema(self) -> dict[str, Any]:
        kind = "integer" if self.whole else "number"
        return {"type": kind, "minimum": self.min, "maximum": self.max}


@dataclass(frozen=True, slots=True)
class Duration:
    """Answers seconds."""

    def read(self, node: Node, path: str, report: Report) -> object:
        if not isinstance(node.value, str):
            said = f"expected a duration like 90s, 30m, 4h or 7d, got {_kind(node)}"
            return _bad(node, path, report, said)
        try:
            return parse_duration(node.value[:64])
        except ValueError as error:
            return _bad(node, path, report, str(error))

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": "^([0-9]{1,9}[smhd])+$", "maxLength": 64}


@dataclass(frozen=True, slots=True)
class Size:
    """Answers MiB."""

    def read(self, node: Node, path: str, report: Report) -> object:
        if not isinstance(node.value, str):
            said = f"expected a size like 512Mi or 20Gi, got {_kind(node)}"
            return _bad(node, path, report, said)
        try:
            return parse_size_mib(node.value[:64])
        except ValueError as error:
            return _bad(node, path, report, str(error))

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": "^0*[1-9][0-9]{0,8}(Mi|Gi|Ti)$"}


@dataclass(frozen=True, slots=True)
class OrNever:
    """`null` says "never", which is not the same as leaving the field out."""

    shape: Shape

    def read(self, node: Node, path: str, report: Report) -> object:
        return None if node.value is None else self.shape.read(node, path, report)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self.shape.schema(), {"type": "null"}]}


@dataclass(frozen=True, slots=True)
class AnyValue:
    """What a parameter may be: a text, a number, a yes or no, or a list of texts."""

    max: int

    def read(self, node: Node, path: str, report: Report) -> object:
        value = node.value
        if isinstance(value, list):
            return ListOf(Text(max=self.max), max=100).read(node, path, report)
        if isinstance(value, str):
            return Text(max=self.max, lines=True).read(node, path, report)
        if isinstance(value, bool) or (isinstance(value, int | float) and math.isfinite(value)):
            return value
        said = f"expected a text, a number, true, false or a list, got {_kind(node)}"
        return _bad(node, path, report, said)

    def schema(self) -> dict[str, Any]:
        text = {"type": "string", "maxLength": self.max}
        return {
            "anyOf": [
                {**text},
                {"type": ["number", "boolean"]},
                {"type": "array", "items": text, "maxItems": 100},
            ]
        }


@dataclass(frozen=True, slots=True)
class ListOf:
    """Items at fault are left out."""

    item: Shape
    max: int

    def read(self, node: Node, path: str, report: Report) -> object:
        if not isinstance(node.value, list):
            return _bad(node, path, report, f"expected a list, got {_kind(node)}")
        if len(node.value) > self.max:
            said = f"has {len(node.value)} items; at most {self.max} are allowed"
            return _bad(node, path, report, said)
        read = [self.item.read(n, f"{path}[{i}]", report) for i, n in enumerate(node.value)]
        return tuple(value for value in read if value is not BAD)

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.item.schema(), "maxItems": self.max}


@dataclass(frozen=True, slots=True)
class MapOf:
    """Names of the author's choosing; those at fault are left out."""

    key: Text
    value: Shape
    max: int

    def read(self, node: Node, path: str, report: Report) -> object:
        if not isinstance(node.value, dict):
            return _bad(node, path, report, f"expected names and values, got {_kind(node)}")
        if len(node.value) > self.max:
            said = f"has {len(node.value)} names; at most {self.max} are allowed"
            return _bad(node, path, report, said)
        read: dict[str, object] = {}
        for name, below in node.value.items():
            if self.key.read(Node(below.line, name), path, report) is not BAD:
                value = self.value.read(below, f"{path}.{name}", report)
                if value is not BAD:
                    read[name] = value
        return read

    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "propertyNames": self.key.schema(),
            "additionalProperties": self.value.schema(),
            "maxProperties": self.max,
        }


@dataclass(frozen=True, slots=True)
class Field:
    shape: Shape
    doc: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Known names, each with its own shape; anything else is refused."""

    fields: Mapping[str, Field]
    exactly_one: tuple[str, ...] = ()
    needs: Mapping[str, str] = field(default_factory=dict[str, str])
    """`{"packages": "debian"}`: the first may stand only beside the second."""
    later: tuple[str, ...] = ()
    """Names with a meaning to come; the message says so."""

    def read(self, node: Node, path: str, report: Report) -> object:
        part, complete = self.read_part(node, path, report)
        return part if complete else BAD

    def read_part(self, node: Node, path: str, report: Report) -> tuple[Part, bool]:
        """What is fine of it, and whether everything that it must have is."""
        read: dict[str, object] = {}
        if not isinstance(node.value, dict):
            _bad(node, path, report, f"expected fields, got {_kind(node)}")
            return Part(read, node), False
        below = f"{path}." if path else ""
        complete = self._presence(node, node.value, path, report)
        for name, child in node.value.items():
            if name in self.fields:
                value = self.fields[name].shape.read(child, below + name, report)
                if value is not BAD:
                    read[name] = value
                elif self.fields[name].required or name in self.exactly_one:
                    complete = False
            elif name in self.later:
                report.error(child.line, below + name, "is not supported yet")
            else:
                near = did_you_mean(name, self.fields)
                report.error(child.line, below + _named(name), f"there is no such field{near}")
        return Part(read, node), complete

    def _presence(
        self, node: Node, members: Mapping[str, Node], path: str, report: Report
    ) -> bool:
        missing = [n for n, f in self.fields.items() if f.required and n not in members]
        for name in missing:
            report.error(node.line, path, f"{name} is missing")
        for name, other in self.needs.items():
            if name in members and other not in members:
                report.error(members[name].line, f"{path}.{name}", f"only goes with {other}")
        given = [name for name in self.exactly_one if name in members]
        if self.exactly_one and len(given) != 1:
            got = f"; got {' and '.join(given)}" if given else ""
            said = f"needs exactly one of {listed(self.exactly_one)}{got}"
            report.error(node.line, path, said)
            return False
        return not missing

    def schema(self) -> dict[str, Any]:
        rule: dict[str, Any] = {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                name: {"description": f.doc, **f.shape.schema()} for name, f in self.fields.items()
            },
        }
        if required := [name for name, f in self.fields.items() if f.required]:
            rule["required"] = required
        if self.exactly_one:
            rule["oneOf"] = [{"required": [name]} for name in self.exactly_one]
        if self.needs:
            rule["dependentRequired"] = {name: [other] for name, other in self.needs.items()}
        return rule


def unprintable(text: str, *, lines: bool) -> str:
    """The first character that no field takes, escaped; empty when there is none.

    Control characters would reach terminals and logs; half a surrogate pair, which JSON and YAML
    escapes can make, cannot be stored.
    """
    allowed = "\n\r\t" if lines else ""
    for char in text:
        code = ord(char)
        if (code < 0x20 and char not in allowed) or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000:
            return f"U+{code:04X}"
    return ""


def _bad(node: Node, path: str, report: Report, message: str) -> Bad:
    report.error(node.line, path, message)
    return BAD


def _kind(node: Node) -> str:
    match node.value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case dict():
            return "fields"


def _shown(node: Node) -> str:
    return _kind(node) if isinstance(node.value, list | dict | None) else quoted(node.value)


def _named(name: str) -> str:
    return name if re.fullmatch(r"[\w.-]{1,60}", name) else quoted(name)
