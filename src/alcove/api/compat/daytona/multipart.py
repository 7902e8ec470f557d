"""Reading a multipart upload as it comes: each file goes on before the next one is read."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from alcove.http.body import stream
from alcove.http.problem import HttpError
from alcove.model.errors import Invalid

PARTS_MAX: Final = 2000
HEADERS_MAX: Final = 16 << 10
FIELD_MAX: Final = 64 << 10
Take: TypeAlias = Callable[[str, str, AsyncIterator[bytes]], Awaitable[None]]
"""Is given a file's field, the name it came with, and its bytes, which it reads to the end."""


@dataclass
class _Part:
    headers: dict[str, str] = field(default_factory=dict[str, str])
    name: str = ""
    filename: str | None = None


@dataclass
class _Events:
    """What the parser found in a chunk: `None` ends a part."""

    found: list[_Part | bytes | None] = field(default_factory=list["_Part | bytes | None"])
    part: _Part = field(default_factory=_Part)
    parts: int = 0
    size: int = 0
    field_name: bytes = b""
    value: bytes = b""
    over: bool = False

    def begin(self) -> None:
        self.part, self.size = _Part(), 0
        self.parts += 1
        if self.parts > PARTS_MAX:
            raise Invalid(f"a form has at most {PARTS_MAX} parts")

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self.field_name += data[start:end]
        self._count(end - start)

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]
        self._count(end - start)

    def header_end(self) -> None:
        name = self.field_name.decode("latin-1").lower()
        self.part.headers[name] = self.value.decode(errors="replace")
        self.field_name = self.value = b""

    def headers_finished(self) -> None:
        _, options = parse_options_header(self.part.headers.get("content-disposition", ""))
        self.part.name = options.get(b"name", b"").decode(errors="replace")
        if b"filename" in options:
            self.part.filename = options[b"filename"].decode(errors="replace")
        self.found.append(self.part)

    def data(self, data: bytes, start: int, end: int) -> None:
        self.found.append(data[start:end])

    def end(self) -> None:
        self.found.append(None)

    def finish(self) -> None:
        self.over = True

    def _count(self, size: int) -> None:
        self.size += size
        if self.size > HEADERS_MAX:
            raise Invalid(f"the headers of a part have at most {HEADERS_MAX} bytes")


class Form:
    """One body. `fields` has what came so far."""

    def __init__(self, request: Request, *, size_max: int) -> None:
        self._request = request
        self._size_max = size_max
        self.fields: dict[str, str] = {}

    async def read(self, take: Take) -> Mapping[str, str]:
        events = _Events()
        parser = _parser(self._request, events)
        items = self._items(parser, events)
        async for item in items:
            if not isinstance(item, _Part):
                raise Invalid("the form is malformed")
            if item.filename is None:
                self.fields[item.name] = await self._text(items)
            else:
                await self._file(item, items, take)
        if not events.over:
            raise Invalid("the form broke off before its last boundary")
        return self.fields

    async def _items(
        self, parser: MultipartParser, events: _Events
    ) -> AsyncIterator[_Part | bytes | None]:
        async for chunk in stream(self._request, size_max=self._size_max):
            try:
                parser.write(chunk)
            except MultipartParseError as error:
                raise Invalid(f"the form is malformed: {error}") from None
            found, events.found = events.found, []
            for item in found:
                yield item

    async def _text(self, items: AsyncIterator[_Part | bytes | None]) -> str:
        value = b""
        async for item in items:
            if item is None:
                break
            value += bytes(item) if isinstance(item, bytes) else b""
            if len(value) > FIELD_MAX:
                raise HttpError(413, f"a field has at most {FIELD_MAX} bytes")
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise Invalid("a field of the form is not UTF-8") from None

    async def _file(
        self, part: _Part, items: AsyncIterator[_Part | bytes | None], take: Take
    ) -> None:
        whole = False

        async def pieces() -> AsyncIterator[bytes]:
            nonlocal whole
            async for item in items:
                if item is None:
                    whole = True
                    return
                if isinstance(item, bytes):
                    yield item
            raise Invalid("the form broke off in the middle of a file")

        body = pieces()
        await take(part.name, part.filename or "", body)
        if not whole:
            # What was not taken is read over, so that the next part can be.
            async for _ in body:
                pass


def _parser(request: Request, events: _Events) -> MultipartParser:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 1 <= len(boundary) <= 256:
        said = "send Content-Type: multipart/form-data with a boundary"
        raise HttpError(415, said)
    return MultipartParser(
        boundary,
        {
            "on_part_begin": events.begin,
            "on_header_field": events.header_field,
            "on_header_value": events.header_value,
            "on_header_end": events.header_end,
            "on_headers_finished": events.headers_finished,
            "on_part_data": events.data,
            "on_part_end": events.end,
            "on_end": events.finish,
        },
    )
