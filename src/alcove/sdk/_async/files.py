"""Files of a workspace: small ones as bytes, large ones and directories as streams."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

import httpx

from alcove.sdk._async.pages import items
from alcove.sdk._async.primitives import chunks, in_thread
from alcove.sdk._async.transport import AsyncTransport
from alcove.sdk._async.watching import watch
from alcove.sdk.answers import Query
from alcove.sdk.archive import Packer, Transfer, Unpacker
from alcove.sdk.errors import Invalid, Unavailable
from alcove.sdk.local import LocalFile, pieces, read_chunks
from alcove.sdk.retry import Repeat
from alcove.wire.base import Page
from alcove.wire.files import FileEntry
from alcove.wire.processes import FileChange

OnBytes: TypeAlias = Callable[[int], object]
"""Called with the number of bytes just moved."""
_OCTETS: Final = "application/octet-stream"
_TAR: Final = "application/x-tar"


class AsyncFiles:
    """Paths are absolute, or relative to the user's home. Every call has the user's rights."""

    def __init__(self, transport: AsyncTransport, base: str) -> None:
        self._transport = transport
        self._base = base

    async def read(self, path: str) -> bytes:
        """A file's whole content; for large ones see `open` and `download`."""
        async with self.open(path) as body:
            return b"".join([chunk async for chunk in body])

    async def read_text(self, path: str, encoding: str = "utf-8") -> str:
        return (await self.read(path)).decode(encoding)

    @asynccontextmanager
    async def open(
        self, path: str, *, first_byte: int | None = None
    ) -> AsyncGenerator[AsyncIterator[bytes]]:
        """A file's content in chunks, from `first_byte` on."""
        headers = {} if first_byte is None else {"Range": f"bytes={first_byte}-"}
        async with self._body("/files", {"path": path}, headers) as body:
            yield body

    async def write(self, path: str, content: bytes | str) -> None:
        """Create or replace a file, in one step for whoever reads it; makes directories above."""
        data = content.encode() if isinstance(content, str) else content
        await self._transport.send(
            "PUT",
            f"{self._base}/files",
            query={"path": path},
            content=data,
            content_type=_OCTETS,
            timeout_s=None,
        )

    def list(self, path: str = ".", *, depth: int = 1) -> "AsyncIterator[FileEntry]":
        """What a directory holds."""
        query: Query = {"path": path, "depth": depth}
        return items(self._transport, Page[FileEntry], f"{self._base}/files/list", query)

    def watch(
        self, path: str = ".", *, recursive: bool = False
    ) -> AsyncIterator[FileChange | None]:
        """None once watching has begun, then each change as it happens. Never ends; raises
        Unavailable when the connection is lost."""
        return watch(self._transport, self._base, path, recursive=recursive)

    async def remove(self, path: str) -> None:
        """A file, or a directory with all that is in it."""
        await self._transport.send("DELETE", f"{self._base}/files", query={"path": path})

    async def download(
        self, path: str, local: str | Path, *, on_bytes: OnBytes | None = None
    ) -> int:
        """One file to a local one, replaced in one step. Answers its size."""
        async with self.open(path) as body:
            file = await in_thread(LocalFile, Path(local))
            try:
                async for chunk in body:
                    await in_thread(file.write, chunk)
                    if on_bytes is not None:
                        on_bytes(len(chunk))
                return await in_thread(file.commit)
            finally:
                await in_thread(file.close)

    async def upload(
        self, local: str | Path, path: str, *, on_bytes: OnBytes | None = None
    ) -> None:
        """One local file."""
        source = read_chunks(Path(local))
        await self._put("/files", path, source, _OCTETS, on_bytes)

    async def upload_from(
        self, source: BinaryIO, path: str, *, on_bytes: OnBytes | None = None
    ) -> None:
        """What an open file, or a pipe, gives until its end."""
        await self._put("/files", path, pieces(source), _OCTETS, on_bytes)

    async def is_directory(self, path: str) -> bool:
        """Raises NotFound when there is nothing."""
        try:
            async for _ in self.list(path, depth=1):
                break
        except Invalid:
            return False
        return True

    async def download_directory(
        self, path: str, local: str | Path, *, on_bytes: OnBytes | None = None
    ) -> Transfer:
        """A directory's contents into a local one, which is made if need be.

        What could reach outside it (links that point elsewhere, devices) is left out and named.
        """
        unpacker = await in_thread(Unpacker, Path(local))
        try:
            async with self._body("/archive", {"path": path}, {}) as body:
                async for chunk in body:
                    await in_thread(unpacker.feed, chunk)
                    if on_bytes is not None:
                        on_bytes(len(chunk))
            return await in_thread(unpacker.finish)
        finally:
            await in_thread(unpacker.close)

    async def upload_directory(
        self, local: str | Path, path: str, *, on_bytes: OnBytes | None = None
    ) -> Transfer:
        """A local directory's contents into one there, which is made if need be."""
        packer = Packer(Path(local))
        await self._put("/archive", path, iter(packer), _TAR, on_bytes)
        return packer.transfer

    async def _put(
        self,
        route: str,
        path: str,
        source: Iterator[bytes],
        content_type: str,
        on_bytes: OnBytes | None,
    ) -> None:
        async def body() -> AsyncIterator[bytes]:
            async for chunk in chunks(source):
                yield chunk
                if on_bytes is not None:
                    on_bytes(len(chunk))

        await self._transport.send(
            "PUT",
            self._base + route,
            query={"path": path},
            content=body(),
            content_type=content_type,
            repeat=Repeat.NEVER,
            timeout_s=None,
        )

    @asynccontextmanager
    async def _body(
        self, route: str, query: Query, headers: dict[str, str]
    ) -> AsyncGenerator[AsyncIterator[bytes]]:
        """The raw bytes of an answer; compressing them would cost more than it saves."""
        async with self._transport.stream(
            "GET",
            self._base + route,
            query=query,
            headers={"Accept-Encoding": "identity", **headers},
            timeout_s=None,
        ) as response:
            try:
                yield response.aiter_raw()
            except httpx.TransportError as error:
                raise Unavailable(f"lost the connection while reading: {error}") from error
