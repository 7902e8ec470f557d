# Made by tools/async_to_sync.py from _async/exec_outputs.py: change that one.
"""What commands without a terminal wrote. Reading one is an event in the log."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from urllib.parse import quote

from alcove.sdk._sync.pages import items
from alcove.sdk._sync.transport import Transport
from alcove.wire.base import Page
from alcove.wire.exec_outputs import ExecOutput, ExecOutputRead


class ExecOutputs:
    """The two ends of what each command wrote."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        workspace: str | None = None,
        owner: str | None = None,
        actor: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        text: str | None = None,
    ) -> Iterator[ExecOutput]:
        """Newest first, without the output. `owner` is the workspace's, `actor` ran it; `since`
        and `until` bound its end and have a zone; `text` is searched in command and output."""
        query: Mapping[str, str | None] = {
            "workspace": workspace,
            "owner": owner,
            "actor": actor,
            "since": None if since is None else since.isoformat(),
            "until": None if until is None else until.isoformat(),
            "q": text,
        }
        return items(self._transport, Page[ExecOutput], "/exec-outputs", query)

    def get(self, id: str) -> ExecOutputRead:
        """One with its output. That may hold anything: do not print it to a terminal as it is."""
        return self._transport.get(ExecOutputRead, _path(id))

    def delete(self, id: str) -> None:
        """For admins."""
        self._transport.send("DELETE", _path(id))


def _path(id: str) -> str:
    return f"/exec-outputs/{quote(id, safe='')}"
