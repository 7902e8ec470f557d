"""Who is connected, and whether they still may be: one look for all of them, several times a
second, so that many idle connections cost next to nothing."""

from collections import Counter
from dataclasses import replace
from typing import Final

import anyio

from alcove.core import access, identity
from alcove.core.app import Core
from alcove.core.standing import RECHECK_S
from alcove.gateway.caller import Caller, end
from alcove.model.access import Actor, Permission
from alcove.model.errors import Unauthenticated, Unavailable
from alcove.model.workspace import Desired, Phase, UserId, Workspace, WorkspaceId
from alcove.store import workspaces

RESTARTED: Final = "the server is being restarted; connect again"


class Watch:
    """The connections of one server on which somebody has come in."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._callers: dict[int, Caller] = {}
        self._by_user: Counter[UserId] = Counter()

    def add(self, caller: Caller) -> None:
        self._callers[id(caller)] = caller
        self._by_user[caller.actor.id] += 1

    def remove(self, caller: Caller) -> None:
        if self._callers.pop(id(caller), None) is not None:
            self._by_user[caller.actor.id] -= 1
            if not self._by_user[caller.actor.id]:
                del self._by_user[caller.actor.id]

    def of(self, actor: Actor) -> int:
        """How many connections this user has."""
        return self._by_user[actor.id]

    async def run(self) -> None:
        """Until cancelled. A database that is away is no reason to end anybody's work."""
        while True:
            await anyio.sleep(RECHECK_S)
            if self._core.gate.closing:
                for caller in self._all():
                    end(caller, RESTARTED)
            elif self._callers:
                try:
                    await self._look()
                except Unavailable:
                    continue

    async def _look(self) -> None:
        standing: dict[tuple[UserId, str], Actor | str] = {}
        for caller in self._all():
            key = (caller.actor.id, caller.actor.credential)
            if key not in standing:
                standing[key] = await self._rechecked(caller.actor)
        rows = await self._rows({caller.workspace.id for caller in self._all()})
        for caller in self._all():
            now = standing.get((caller.actor.id, caller.actor.credential))
            if isinstance(now, str):
                end(caller, now)
                continue
            if now is not None:
                caller.actor = _as_of(caller.actor, now)
            if caller.workspace.id in rows:
                self._keep(caller, rows[caller.workspace.id])

    def _keep(self, caller: Caller, row: Workspace | None) -> None:
        name = caller.workspace.name
        if row is None or row.phase is Phase.DELETED or row.desired is Desired.DELETED:
            end(caller, f"workspace {name} is being deleted")
        elif not access.may(caller.actor, Permission.WORKSPACE_READ, row):
            end(caller, f"workspace {name} is not yours to see any more")
        else:
            caller.workspace = row

    async def _rechecked(self, actor: Actor) -> Actor | str:
        try:
            return await identity.recheck(self._core, actor)
        except Unauthenticated as error:
            return str(error)

    async def _rows(self, ids: set[WorkspaceId]) -> dict[WorkspaceId, Workspace | None]:
        async with self._core.db.read() as tx:
            return {one: await workspaces.get(tx, one) for one in ids}

    def _all(self) -> list[Caller]:
        return list(self._callers.values())


def _as_of(before: Actor, now: Actor) -> Actor:
    """What the credential may now, on a connection that may be bound to one workspace."""
    return replace(
        now,
        address=before.address,
        request_id=before.request_id,
        workspace=before.workspace or now.workspace,
    )
