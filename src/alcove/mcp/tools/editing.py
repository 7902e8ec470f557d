"""Changing a part of a file by what stands there now."""

from typing import Annotated, Any, Final

from pydantic import Field, StringConstraints

from alcove.mcp.calls import Result, Tool, Use
from alcove.mcp.tools.fields import FilePath, Sandbox
from alcove.mcp.tools.files import read_text, write_bytes
from alcove.model.access import Permission
from alcove.model.errors import FieldError, Invalid
from alcove.wire.base import Answer, Request

FILE_MAX: Final = 4 << 20
PART_MAX: Final = 256 << 10
SHOWN_LINES: Final = 3
SHOWN_MAX: Final = 4_000
PLACES_MAX: Final = 10


class Edited(Answer):
    path: str
    replaced: int
    first_line: int
    """Where the first change begins."""


class EditArguments(Request):
    sandbox: Sandbox
    path: FilePath
    old_text: Annotated[
        str,
        StringConstraints(min_length=1, max_length=PART_MAX),
        Field(description="Exactly as it stands in the file, with indentation and line ends."),
    ]
    new_text: Annotated[
        str,
        StringConstraints(max_length=PART_MAX),
        Field(description="What is to stand there instead."),
    ]
    replace_all: Annotated[
        bool, Field(description="Replace every match instead of the one there must be.")
    ] = False


async def edit(use: Use, asked: EditArguments) -> Result:
    before = await read_text(use, asked.sandbox, asked.path, size_max=FILE_MAX)
    places = places_of(before, asked.old_text)
    if refusal := refused(before, places, asked):
        raise Invalid(f"old_text: {refusal}", [FieldError("old_text", refusal)])
    after = before.replace(asked.old_text, asked.new_text)
    await write_bytes(use, asked.sandbox, asked.path, after.encode())
    line = _line_of(before, places[0])
    answer = Edited(path=asked.path, replaced=len(places), first_line=line)
    times = "one place" if len(places) == 1 else f"{len(places)} places"
    shown = _around(after, line, asked.new_text)
    return Result(f"Changed {times} of {asked.path}. Around line {line}:\n{shown}", answer)


def refused(text: str, places: list[int], asked: EditArguments) -> str:
    """Why it cannot be done as asked; empty when it can."""
    if asked.old_text == asked.new_text:
        return "is the same as new_text; nothing would change"
    if not places:
        hint = ""
        if "\r\n" in text and "\r\n" not in asked.old_text and "\n" in asked.old_text:
            hint = " Lines of this file end with \\r\\n."
        elif _squeezed(asked.old_text) in _squeezed(text):
            hint = " It is there with other white space."
        return f"0 matches in {asked.path}.{hint} Read the file and give the exact text."
    if len(places) > 1 and not asked.replace_all:
        lines = ", ".join(str(_line_of(text, place)) for place in places[:PLACES_MAX])
        more = ", …" if len(places) > PLACES_MAX else ""
        return (
            f"{len(places)} matches in {asked.path}, on lines {lines}{more}. Give more of the "
            "text around the one that is meant, or replace_all=true."
        )
    return ""


def places_of(text: str, part: str) -> list[int]:
    found: list[int] = []
    at = text.find(part)
    while at >= 0:
        found.append(at)
        at = text.find(part, at + len(part))
    return found


def _line_of(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1


def _around(text: str, line: int, changed: str) -> str:
    lines = text.split("\n")
    last = line + changed.count("\n")
    shown = lines[max(0, line - 1 - SHOWN_LINES) : last + SHOWN_LINES]
    return "\n".join(shown)[:SHOWN_MAX]


def _squeezed(text: str) -> str:
    return " ".join(text.split())


TOOLS: Final[tuple[Tool[Any], ...]] = (
    Tool(
        name="edit_file",
        title="Edit a file",
        description=(
            "Replace a piece of a text file. old_text must be exactly what stands there and "
            "occur once; otherwise nothing is changed and the error says how many matches "
            "there are and on which lines. Read the file first. Give a few lines around the "
            "change to make it unique."
        ),
        permission=Permission.WORKSPACE_FILES,
        arguments=EditArguments,
        answer=Edited,
        run=edit,
        destroys=True,
    ),
)
