"""`/exec-outputs`: what commands without a terminal wrote. Reading one is itself an event."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from fastapi import Path, Query
from pydantic import Field
from starlette.responses import Response

from alcove.api.answers import answer, documents, exact, nothing
from alcove.api.arguments import CoreOf
from alcove.api.pages import PageQuery
from alcove.api.routing import router
from alcove.core import exec_output_reading, identity, recording_reading
from alcove.core.pages import PageRequest
from alcove.core.recording_reading import QUERY_MAX, Wanted
from alcove.http.access import needs
from alcove.model import exec_output as model
from alcove.model.access import Actor, Permission
from alcove.wire.base import Moment, Page
from alcove.wire.exec_outputs import ExecOutput, ExecOutputRead, KeptStream

routes = router("exec-outputs")
Reader: TypeAlias = Annotated[Actor, needs(Permission.RECORDING_READ)]
OutputId: TypeAlias = Annotated[str, Path(alias="output", max_length=64)]
_Ref: TypeAlias = Annotated[str, Field(max_length=128)]


class ExecOutputQuery(PageQuery):
    workspace: _Ref | None = None
    """Its id, also of one that is gone, or the caller's own name for it."""
    owner: _Ref | None = None
    """Name of the workspace's owner, or `me`."""
    actor: _Ref | None = None
    """Name of who ran it, or `me`."""
    since: Moment | None = None
    """Ended then or later."""
    until: Moment | None = None
    """Ended before then."""
    q: Annotated[str, Field(max_length=QUERY_MAX)] | None = None
    """In the command and in what is kept of its output, whatever the case."""


@routes.get("/exec-outputs", **documents(Page[ExecOutput], 404))
async def find(
    core: CoreOf, actor: Reader, query: Annotated[ExecOutputQuery, Query()]
) -> Response:
    """List what is kept of commands that the caller may see, newest first, without the output.
    A page of a search may have few or no items and still be followed by another; each search is
    an event."""
    wanted = Wanted(
        workspace=query.workspace,
        owner=query.owner,
        actor=query.actor,
        since=query.since,
        until=query.until,
        text=query.q or None,
    )
    page = PageRequest(query.limit, query.cursor)
    found = await exec_output_reading.find(core, actor, page, wanted)
    ids = {one.owner for one in found.items} | {one.actor for one in found.items}
    names = await identity.names(core, ids)
    known = await recording_reading.workspace_names(core, found.items)
    items = [ExecOutput(**_about(one, names, known)) for one in found.items]
    return answer(Page[ExecOutput](items=items, next_cursor=found.next_cursor))


@routes.get("/exec-outputs/{output}", **documents(ExecOutputRead, 404))
async def get(core: CoreOf, actor: Reader, id: OutputId) -> Response:
    """One with what is kept of its output. The reading is written down first."""
    found = await exec_output_reading.read(core, actor, id)
    one = found.output
    names = await identity.names(core, {one.owner, one.actor})
    known = await recording_reading.workspace_names(core, [one])
    return answer(
        ExecOutputRead(
            **_about(one, names, known),
            stdout=_stream(one.stdout),
            stderr=_stream(one.stderr),
            intact=found.intact,
        )
    )


@routes.delete("/exec-outputs/{output}", **documents(None, 404, status=204))
async def delete(core: CoreOf, actor: Reader, id: OutputId) -> Response:
    """Delete what is kept of one command; for admins."""
    await exec_output_reading.delete(core, actor, id)
    return nothing()


def _about(
    one: model.ExecOutput, users: Mapping[str, str], workspaces: Mapping[str, str]
) -> dict[str, Any]:
    """`users` and `workspaces`: names by id."""
    return {
        "id": one.id,
        "workspace": one.workspace,
        "workspace_name": workspaces.get(one.workspace, ""),
        "owner": users[one.owner],
        "actor": users[one.actor],
        "command": one.command,
        "exit_code": one.exit_code,
        "duration_ms": one.duration_ms,
        "stdout_size": one.stdout.size,
        "stderr_size": one.stderr.size,
        "digest": one.digest,
        "at": one.at,
        "expires_at": one.expires_at,
    }


def _stream(kept: model.Kept) -> KeptStream:
    return KeptStream(
        head=kept.head.decode("utf-8", "replace"),
        tail=kept.tail.decode("utf-8", "replace"),
        head_base64=exact(kept.head),
        tail_base64=exact(kept.tail),
        size=kept.size,
        dropped=kept.dropped,
    )
