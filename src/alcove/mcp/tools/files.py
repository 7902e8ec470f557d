"""Reading, writing, listing, and moving files in and out."""

import base64
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from pydantic import Field, StringConstraints

from alcove.core import files
from alcove.mcp.calls import Result, Tool, Use
from alcove.mcp.tools.fields import Directory, FilePath, Sandbox
from alcove.model.access import Permission
from alcove.model.errors import FieldError, Invalid, NotFound
from alcove.wire.base import Answer, Request

LINES: Final = 500
LINES_MAX: Final = 2_000
TEXT_MAX: Final = 64_000
"""Characters that one answer holds at most."""
READ_MAX: Final = 32 << 20
"""Bytes looked at for a range of lines."""
WRITE_MAX: Final = 2 << 20
UPLOAD_MAX: Final = 4 << 20
DOWNLOAD_MAX: Final = 1 << 20
ENTRIES_MAX: Final = 500
DEPTH_MAX: Final = 8


class FileText(Answer):
    path: str
    text: str
    first_line: int
    last_line: int
    """0 for an empty file."""
    total_lines: int | None
    """Null when the file goes on and was not read to its end."""
    truncated: bool


class Written(Answer):
    path: str
    size: int


class Entry(Answer):
    path: str
    type: str
    size: int
    target: str | None


class EntryList(Answer):
    items: list[Entry]
    truncated: bool


class FileBytes(Answer):
    path: str
    content_base64: str
    offset: int
    next: int
    size: int | None


class ReadArguments(Request):
    sandbox: Sandbox
    path: FilePath
    first_line: Annotated[int, Field(ge=1, le=10_000_000)] = 1
    lines: Annotated[int, Field(ge=1, le=LINES_MAX, description="How many at most.")] = LINES


class WriteArguments(Request):
    sandbox: Sandbox
    path: FilePath
    text: Annotated[
        str, StringConstraints(max_length=WRITE_MAX), Field(description="All of the file.")
    ]


class ListArguments(Request):
    sandbox: Sandbox
    path: Directory = "~"
    depth: Annotated[int, Field(ge=1, le=DEPTH_MAX, description="Levels of directories.")] = 1


class UploadArguments(Request):
    sandbox: Sandbox
    path: FilePath
    content_base64: Annotated[str, StringConstraints(max_length=UPLOAD_MAX * 4 // 3 + 4)]


class DownloadArguments(Request):
    sandbox: Sandbox
    path: FilePath
    offset: Annotated[int, Field(ge=0, le=2**53, description="First byte.")] = 0
    length: Annotated[int, Field(ge=1, le=DOWNLOAD_MAX, description="Bytes at most.")] = (
        DOWNLOAD_MAX
    )


async def read(use: Use, asked: ReadArguments) -> Result:
    picked = Lines(asked.first_line, asked.lines)
    async with files.read(use.core, use.actor, asked.sandbox, asked.path) as body:
        async for piece in body.pieces:
            if picked.add(piece):
                break
    answer = picked.answer(asked.path)
    if asked.first_line > 1 and answer.last_line < asked.first_line:
        raise Invalid(f"first_line: {asked.path} has only {answer.total_lines} lines")
    total = answer.total_lines
    of = f" of {total}" if total is not None else ""
    text = f"{asked.path}, lines {answer.first_line} to {answer.last_line}{of}:\n{answer.text}"
    if answer.truncated:
        text += f"\n[more: read on with first_line={answer.last_line + 1}]"
    return Result(text, answer)


async def read_text(use: Use, sandbox: str, path: str, *, size_max: int) -> str:
    """A whole file. Raises Invalid for one that is too large, or not UTF-8."""
    data = bytearray()
    async with files.read(use.core, use.actor, sandbox, path) as body:
        async for piece in body.pieces:
            data += piece
            if len(data) > size_max:
                said = f"{path} is larger than {size_max} bytes; change it with run_command"
                raise Invalid(said, [FieldError("path", said)])
    try:
        return data.decode()
    except UnicodeDecodeError:
        said = f"{path} is not UTF-8 text; change it with run_command"
        raise Invalid(said, [FieldError("path", said)]) from None


async def write(use: Use, asked: WriteArguments) -> Result:
    data = asked.text.encode(errors="surrogatepass")
    return await write_bytes(use, asked.sandbox, asked.path, data)


async def write_bytes(use: Use, sandbox: str, path: str, data: bytes) -> Result:
    async def pieces() -> AsyncIterator[bytes]:
        yield data

    await files.write(use.core, use.actor, sandbox, path, pieces(), size=len(data))
    answer = Written(path=path, size=len(data))
    return Result(f"Wrote {len(data)} bytes to {path}.", answer)


async def list_(use: Use, asked: ListArguments) -> Result:
    found = await files.find(use.core, use.actor, asked.sandbox, asked.path, depth=asked.depth)
    items = [
        Entry(path=entry.path, type=entry.type, size=entry.size, target=entry.target)
        for entry in found[:ENTRIES_MAX]
    ]
    lines = [_line(item) for item in items]
    if truncated := len(found) > len(items):
        lines.append(
            f"[{len(found) - len(items)} more are left out: list a directory below, or use "
            "search_files]"
        )
    text = "\n".join(lines) or f"{asked.path} is empty."
    return Result(text, EntryList(items=items, truncated=truncated))


async def upload(use: Use, asked: UploadArguments) -> Result:
    try:
        data = base64.b64decode(asked.content_base64, validate=True)
    except ValueError:
        said = "is not base64"
        raise Invalid(f"content_base64: {said}", [FieldError("content_base64", said)]) from None
    return await write_bytes(use, asked.sandbox, asked.path, data)


async def download(use: Use, asked: DownloadArguments) -> Result:
    entry = await files.stat(use.core, use.actor, asked.sandbox, asked.path)
    if entry.type == "directory":
        said = f"{asked.path} is a directory; pack it with run_command (tar) first"
        raise Invalid(said, [FieldError("path", said)])
    if asked.offset and asked.offset >= entry.size:
        raise NotFound(f"{asked.path} has only {entry.size} bytes")
    data = bytearray()
    part = f"bytes={asked.offset}-{asked.offset + asked.length - 1}" if entry.size else None
    async with files.read(use.core, use.actor, asked.sandbox, asked.path, range=part) as body:
        async for piece in body.pieces:
            data += piece
            if len(data) >= asked.length:
                break
    content = bytes(data[: asked.length])
    answer = FileBytes(
        path=asked.path,
        content_base64=base64.b64encode(content).decode(),
        offset=asked.offset,
        next=asked.offset + len(content),
        size=entry.size,
    )
    text = f"{asked.path}, bytes {answer.offset} to {answer.next} of {entry.size}, in base64:\n"
    text += answer.content_base64
    if answer.next < entry.size:
        text += f"\n[more: go on with offset={answer.next}]"
    return Result(text, answer)


class Lines:
    """Picks a range of lines out of pieces of a file, reading no more of it than it must."""

    def __init__(self, first: int, count: int) -> None:
        self._first, self._count = first, count
        self._picked: list[bytes] = []
        self._size = 0
        self._line = bytearray()
        self._number = 1
        self._seen = 0
        self._full = False
        self._ended = True

    def add(self, piece: bytes) -> bool:
        """Whether that was enough."""
        self._seen += len(piece)
        parts = piece.split(b"\n")
        for part in parts[:-1]:
            self._line += part
            self._take()
            if self._full:
                self._ended = False
                return True
        self._line += parts[-1]
        if len(self._line) > TEXT_MAX or self._seen > READ_MAX:
            self._ended = False
            return True
        return False

    def answer(self, path: str) -> FileText:
        if self._line:
            self._take()
            self._ended &= not self._full
        text = b"\n".join(self._picked).decode(errors="replace")
        cut = len(text) > TEXT_MAX
        return FileText(
            path=path,
            text=text[:TEXT_MAX],
            first_line=min(self._first, self._number),
            last_line=self._first + len(self._picked) - 1 if self._picked else 0,
            total_lines=self._number - 1 if self._ended else None,
            truncated=cut or not self._ended,
        )

    def _take(self) -> None:
        """The line is whole; note that the last of those wanted may be the last there is."""
        beyond = self._number >= self._first + self._count
        if beyond or (self._picked and self._size + len(self._line) > TEXT_MAX):
            self._full = True
            return
        if self._number >= self._first:
            self._picked.append(bytes(self._line))
            self._size += len(self._line) + 1
        self._number += 1
        self._line.clear()


def _line(item: Entry) -> str:
    match item.type:
        case "directory":
            return f"{item.path}/"
        case "symlink":
            return f"{item.path} -> {item.target}"
        case _:
            return f"{item.path} ({item.size} bytes)"


TOOLS: Final[tuple[Tool[Any], ...]] = (
    Tool(
        name="read_file",
        title="Read a file",
        description=(
            f"Read a text file, or a range of its lines ({LINES} unless told, at most "
            f"{LINES_MAX} lines and {TEXT_MAX // 1000} kB at a time). The text is exact: what "
            "is read here can be given to edit_file. For bytes use download_file."
        ),
        permission=Permission.WORKSPACE_FILES,
        arguments=ReadArguments,
        answer=FileText,
        run=read,
        reads_only=True,
    ),
    Tool(
        name="write_file",
        title="Write a file",
        description=(
            "Make a text file, or replace all of one; directories above it are made. Use "
            f"edit_file to change a part. At most {WRITE_MAX >> 20} MiB."
        ),
        permission=Permission.WORKSPACE_FILES,
        arguments=WriteArguments,
        answer=Written,
        run=write,
        destroys=True,
        repeatable=True,
    ),
    Tool(
        name="list_files",
        title="List files",
        description=(
            f"What is in a directory, up to {DEPTH_MAX} levels deep and {ENTRIES_MAX} entries; "
            "hidden files too. Use search_files to find files by what is in them."
        ),
        permission=Permission.WORKSPACE_FILES,
        arguments=ListArguments,
        answer=EntryList,
        run=list_,
        reads_only=True,
    ),
    Tool(
        name="upload_file",
        title="Upload a file",
        description=(
            f"Put bytes (base64, at most {UPLOAD_MAX >> 20} MiB decoded) into a file; "
            "directories above it are made. For text use write_file."
        ),
        permission=Permission.WORKSPACE_FILES,
        arguments=UploadArguments,
        answer=Written,
        run=upload,
        destroys=True,
        repeatable=True,
    ),
    Tool(
        name="download_file",
        title="Download a file",
        description=(
            f"A file's bytes in base64, at most {DOWNLOAD_MAX >> 20} MiB at a time; go on with "
            "offset=next. For text use read_file."
        ),
        permission=Permission.WORKSPACE_FILES,
        arguments=DownloadArguments,
        answer=FileBytes,
        run=download,
        reads_only=True,
    ),
)
