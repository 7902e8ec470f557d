"""Lists of sandboxes: the caller's own, filtered and ordered as E2B's clients ask.

The number of a user's workspaces is bounded, so all of them are read and what is asked for is
chosen here: their filters are none of ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from alcove.api.compat.e2b import shapes
from alcove.core import access, workspaces
from alcove.core.app import Core
from alcove.core.pages import PageRequest, read_cursor, write_cursor
from alcove.model.access import Actor, Permission
from alcove.model.errors import FieldError, Invalid, NotFound
from alcove.model.workspace import Desired, Phase, Workspace
from alcove.store.workspaces import WorkspaceFilters

LIMIT_MAX: Final = 100
_READ_MAX: Final = 10_000
_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class Wanted:
    """`token`: where the page before ended."""

    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    states: frozenset[str] = frozenset({shapes.RUNNING, shapes.PAUSED})
    ascending: bool = False
    started_after: datetime | None = None
    template: str | None = None
    limit: int = LIMIT_MAX
    token: str | None = None

    def after(self, token: str) -> "Wanted":
        return replace(self, token=token)

    def holds(self, workspace: Workspace) -> bool:
        if workspace.desired is Desired.DELETED or shapes.state(workspace) not in self.states:
            return False
        if self.started_after is not None and workspace.created_at < self.started_after:
            return False
        if self.template is not None and workspace.template != self.template:
            return False
        has = shapes.from_labels(workspace.labels)
        return all(has.get(key) == value for key, value in self.metadata.items())


async def own(core: Core, actor: Actor, id: str, permission: Permission) -> Workspace:
    """The sandbox of this id. NotFound for what is not there, not the caller's to see, on its
    way out, or named in any other way than by its id."""
    if not access.WORKSPACE_ID.fullmatch(id):
        raise _gone(id)
    try:
        found = await access.workspace(core, actor, id, permission)
    except NotFound:
        raise _gone(id) from None
    ended = found.phase in (Phase.DELETED, Phase.DELETING, Phase.FAILED)
    if ended or found.desired in (Desired.DELETED, Desired.STOPPED):
        raise _gone(id)
    return found


async def page(core: Core, actor: Actor, wanted: Wanted) -> tuple[Sequence[Workspace], str | None]:
    """One page, and the token of the next."""
    if not 1 <= wanted.limit <= LIMIT_MAX:
        said = f"must be between 1 and {LIMIT_MAX}"
        raise Invalid(f"limit: {said}", [FieldError("limit", said)])
    found = [workspace for workspace in await _all(core, actor) if wanted.holds(workspace)]
    found.sort(key=_position, reverse=not wanted.ascending)
    if wanted.token is not None:
        at, id = read_cursor(wanted.token, str, str)
        edge = (str(at), str(id))
        found = [
            w for w in found if (_position(w) > edge) is wanted.ascending and _position(w) != edge
        ]
    items = found[: wanted.limit]
    more = len(found) > wanted.limit
    return items, write_cursor(*_position(items[-1])) if more else None


async def _all(core: Core, actor: Actor) -> Sequence[Workspace]:
    found: list[Workspace] = []
    cursor: str | None = None
    filters = WorkspaceFilters(owner=actor.id, phases=shapes.LIVE)
    while len(found) < _READ_MAX:
        batch = await workspaces.find(core, actor, filters, PageRequest(_BATCH, cursor))
        found += batch.items
        cursor = batch.next_cursor
        if cursor is None:
            break
    return found


def _position(workspace: Workspace) -> tuple[str, str]:
    return workspace.created_at.isoformat(timespec="microseconds"), workspace.id


def _gone(id: str) -> NotFound:
    return NotFound(f"there is no sandbox {id[:64]!r}")
