"""Who is connected to workspaces now: the list, and ending one.

`held` is what a connection is in for as long as it lasts; the SSH gateway, whose connections are
no block of code, keeps its own in `core.live`.
"""

import secrets
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import anyio

from alcove.core import access, identity
from alcove.core.app import Core
from alcove.core.pages import Page, PageRequest, page_of, read_position
from alcove.model.access import Actor, Permission, allows
from alcove.model.errors import Denied, NotFound, SessionEnded
from alcove.model.event import EventKind
from alcove.model.live_session import LiveKind, LiveSession
from alcove.model.workspace import UserId, Workspace, WorkspaceId
from alcove.store import users
from alcove.store.workspaces import Position

ENDED_WITHIN_S: Final = 1.0
"""From the request to the end of the connection, also on another server."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """All that are set must match. `workspace` and `user` as the caller wrote them."""

    workspace: str | None = None
    user: str | None = None
    kind: LiveKind | None = None


@contextmanager
def held(
    core: Core, actor: Actor, workspace: Workspace, kind: LiveKind, **detail: object
) -> Generator[None]:
    """It is in the list while the block runs. When it is ended the block is cancelled, and
    SessionEnded is raised."""
    session = LiveSession(
        id=f"{kind}-{secrets.token_hex(8)}",
        kind=kind,
        server=core.live.server,
        workspace=workspace.id,
        workspace_name=workspace.name,
        owner=workspace.owner,
        user=actor.id,
        address=actor.address,
        began_at=core.clock(),
        detail=detail,
    )
    why = ""
    with anyio.CancelScope() as scope:

        def end(said: str) -> None:
            nonlocal why
            why = said
            scope.cancel()

        core.live.add(lambda: session, end)
        try:
            yield
        finally:
            core.live.remove(session.id)
    if why:
        raise SessionEnded(why)


async def find(core: Core, actor: Actor, page: PageRequest, wanted: Wanted) -> Page[LiveSession]:
    """Those that the caller may see, newest first. Raises NotFound for a workspace that is none
    of theirs to see; a user that is none has none."""
    after = read_position(page.cursor)
    workspace: WorkspaceId | None = None
    if wanted.workspace is not None:
        read = Permission.WORKSPACE_READ
        workspace = (await access.workspace(core, actor, wanted.workspace, read)).id
    user = await _user(core, actor, wanted.user) if wanted.user is not None else None
    if wanted.user is not None and user is None:
        return Page([], None)
    found = [
        one
        for one in core.live.all(core.clock())
        if may_see(actor, one)
        and workspace in (None, one.workspace)
        and user in (None, one.user)
        and wanted.kind in (None, one.kind)
        and (after is None or (one.began_at, one.id) < (after.created_at, after.id))
    ]
    found.sort(key=lambda one: (one.began_at, one.id), reverse=True)
    return page_of(found, page, lambda one: Position(one.began_at, one.id))


async def end(core: Core, actor: Actor, id: str) -> None:
    """End it, with an event; returns when it is over, and at the latest after a second. Raises
    NotFound for one that is over, or not the caller's to see, and Denied."""
    session = core.live.get(id, core.clock())
    if session is None or not may_see(actor, session):
        raise NotFound(f"there is no session {id[:64]!r}, or it is over, or not yours to see")
    if not may_end(actor, session):
        raise Denied(f"{actor.name} may not end the session of somebody else")
    detail = {
        "name": session.workspace_name,
        "kind": session.kind.value,
        "session": session.id,
        "user": session.user,
    }
    told = identity.event(
        actor,
        EventKind.SESSION_ENDED,
        subject=session.workspace,
        owner=session.owner,
        detail=detail,
    )
    await identity.record(core, told)
    core.live.end(id, f"{actor.name} ended this session")
    with anyio.move_on_after(ENDED_WITHIN_S):
        await core.live.wait_gone(id)


def may_see(actor: Actor, session: LiveSession) -> bool:
    """One's own, those in one's own workspaces, and all for whoever may see the fleet."""
    if allows(actor, Permission.AUDIT_READ, workspace=session.workspace):
        return True
    return _concerns(actor, Permission.WORKSPACE_READ, session)


def may_end(actor: Actor, session: LiveSession) -> bool:
    """Likewise; of others' whoever operates the server."""
    if allows(actor, Permission.SERVER_OPERATE, workspace=session.workspace):
        return True
    return _concerns(actor, Permission.WORKSPACE_UPDATE, session)


def _concerns(actor: Actor, permission: Permission, session: LiveSession) -> bool:
    may = allows(actor, permission, owner=actor.id, workspace=session.workspace)
    return may and actor.id in (session.user, session.owner)


async def _user(core: Core, actor: Actor, name: str) -> UserId | None:
    if name in ("me", actor.name):
        return actor.id
    async with core.db.read() as tx:
        found = await users.by_name(tx, name)
    return None if found is None else found.id
