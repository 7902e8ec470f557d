# Made by tools/async_to_sync.py from _async/recordings.py: change that one.
"""Recordings of terminals. Reading one is an event in the log."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from alcove.model.recording import SessionKind
from alcove.sdk._sync.pages import items
from alcove.sdk._sync.primitives import in_thread
from alcove.sdk._sync.transport import Transport
from alcove.sdk.local import LocalFile
from alcove.wire.base import Page
from alcove.wire.recordings import (
    RecordedCommand,
    RecordedCommands,
    Recording,
    RecordingProof,
)


class Recordings:
    """What terminals showed."""

    def __init__(self, transport: Transport) -> None:
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
    ) -> Iterator[Recording]:
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

    def get(self, id: str) -> Recording:
        return self._transport.get(Recording, _path(id))

    @contextmanager
    def open(self, id: str) -> Generator[Iterator[bytes]]:
        """The recording (asciicast v2) in chunks; of one that is being written, so far."""
        path = f"{_path(id)}/cast"
        with self._transport.stream("GET", path, timeout_s=None) as response:
            yield response.iter_bytes()

    def download(self, id: str, local: str | Path) -> int:
        """To a local file, replaced in one step. Answers its size."""
        with self.open(id) as body:
            file = in_thread(LocalFile, Path(local))
            try:
                for chunk in body:
                    in_thread(file.write, chunk)
                return in_thread(file.commit)
            finally:
                in_thread(file.close)

    def commands(self, id: str) -> "list[RecordedCommand]":
        """What was run in it, where the shell marks that."""
        return (self._transport.get(RecordedCommands, f"{_path(id)}/commands")).items

    def verify(self, id: str) -> RecordingProof:
        """Whether the file is what was written, by the digests in the event log."""
        return self._transport.get(RecordingProof, f"{_path(id)}/proof")

    def delete(self, id: str) -> None:
        """For admins."""
        self._transport.send("DELETE", _path(id))


def _path(id: str) -> str:
    return f"/recordings/{quote(id, safe='')}"
