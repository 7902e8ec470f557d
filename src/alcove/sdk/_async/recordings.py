"""Recordings of terminals. Reading one is an event in the log."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from alcove.model.recording import SessionKind
from alcove.sdk._async.pages import items
from alcove.sdk._async.primitives import in_thread
from alcove.sdk._async.transport import AsyncTransport
from alcove.sdk.local import LocalFile
from alcove.wire.base import Page
from alcove.wire.recordings import (
    RecordedCommand,
    RecordedCommands,
    Recording,
    RecordingProof,
)


class AsyncRecordings:
    """What terminals showed."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        workspace: str | None = None,
        owner: str | None = None,
        actor: str | None = None,
        kind: SessionKind | str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        text: str | None = None,
    ) -> AsyncIterator[Recording]:
        """Newest first. `owner` is the workspace's, `actor` sat at the terminal; `since` and
        `until` bound its beginning and have a zone; `text` is searched in what was shown."""
        query: Mapping[str, str | None] = {
            "workspace": workspace,
            "owner": owner,
            "actor": actor,
            "kind": None if kind is None else str(kind),
            "since": None if since is None else since.isoformat(),
            "until": None if until is None else until.isoformat(),
            "q": text,
        }
        return items(self._transport, Page[Recording], "/recordings", query)

    async def get(self, id: str) -> Recording:
        return await self._transport.get(Recording, _path(id))

    @asynccontextmanager
    async def open(self, id: str) -> AsyncGenerator[AsyncIterator[bytes]]:
        """The recording (asciicast v2) in chunks; of one that is being written, so far."""
        path = f"{_path(id)}/cast"
        async with self._transport.stream("GET", path, timeout_s=None) as response:
            yield response.aiter_bytes()

    async def download(self, id: str, local: str | Path) -> int:
        """To a local file, replaced in one step. Answers its size."""
        async with self.open(id) as body:
            file = await in_thread(LocalFile, Path(local))
            try:
                async for chunk in body:
                    await in_thread(file.write, chunk)
                return await in_thread(file.commit)
            finally:
                await in_thread(file.close)

    async def commands(self, id: str) -> "list[RecordedCommand]":
        """What was run in it, where the shell marks that."""
        return (await self._transport.get(RecordedCommands, f"{_path(id)}/commands")).items

    async def verify(self, id: str) -> RecordingProof:
        """Whether the file is what was written, by the digests in the event log."""
        return await self._transport.get(RecordingProof, f"{_path(id)}/proof")

    async def delete(self, id: str) -> None:
        """For admins."""
        await self._transport.send("DELETE", _path(id))


def _path(id: str) -> str:
    return f"/recordings/{quote(id, safe='')}"
