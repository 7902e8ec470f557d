"""A workspace's ports as others reach them: who may open one, and under which name. Pure."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from alcove.model.access import OWN, Actor, Permission, allows
from alcove.model.app import LEVELS as LEVELS
from alcove.model.app import Level as Level
from alcove.model.app import by_name, by_port
from alcove.model.app import narrower as narrower
from alcove.model.workspace import UserId, Workspace, WorkspaceId

PORT_MAX: Final = 65535
LABEL_MAX: Final = 63
"""Of a host name, RFC 1035."""
_NAME: Final = r"[a-z0-9]+(?:-[a-z0-9]+)*"
APP_NAME: Final = r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*"
"""Begins with a letter, so that it is never a port's number."""
_WHAT: Final = rf"([1-9][0-9]{{0,4}}|{APP_NAME})"
_BY_ID: Final = re.compile(rf"{_WHAT}--(ws-[a-z2-7]{{16}})")
_BY_NAME: Final = re.compile(rf"{_WHAT}--({_NAME})--({_NAME})")


@dataclass(frozen=True, slots=True)
class Share:
    """A port that others may open. Past `expires_at` it is as if it were not there."""

    workspace: WorkspaceId
    port: int
    level: Level
    expires_at: datetime | None
    created_at: datetime
    created_by: UserId

    def holds(self, now: datetime) -> bool:
        return self.expires_at is None or now < self.expires_at


@dataclass(frozen=True, slots=True)
class AppName:
    """The first label of an app's host name: `8000--api--ada`, `code--api--ada`, `8000--ws-…`."""

    target: int | str
    """A port, or the name of one of the template's apps."""
    ref: str
    """The workspace's id, or `owner/name`."""

    def port(self, workspace: Workspace) -> int | None:
        """None when the workspace has no app of that name that listens."""
        if isinstance(self.target, int):
            return self.target
        app = by_name(workspace.spec.apps, self.target)
        return None if app is None else app.port


def opens(actor: Actor | None, level: Level, *, owner: UserId, workspace: WorkspaceId) -> bool:
    """Whether the actor (None: nobody we know) may open a port of this level."""
    if level is Level.PUBLIC:
        return True
    if actor is None:
        return False
    enter = Permission.WORKSPACE_EXEC
    if allows(actor, enter, owner=owner, workspace=workspace):
        return True
    if level is not Level.TEAM or actor.workspace not in (None, workspace):
        return False
    return (actor.scopes is None or enter in actor.scopes) and enter in OWN[actor.role]


def level_of(workspace: Workspace, port: int, share: Share | None, *, operator: Level) -> Level:
    """Who may open the port: as was said, and never wider than its template and the operator
    allow now, whenever it was said.
    `share` is what its owner said and what still holds."""
    most = narrower(workspace.spec.share_max, operator)
    return narrower(said_of(workspace, port, share), most)


def said_of(workspace: Workspace, port: int, share: Share | None) -> Level:
    """What the owner said; without that the template's app on this port, and a port of no app
    is private."""
    if share is not None:
        return share.level
    app = by_port(workspace.spec.apps, port)
    return Level.PRIVATE if app is None else app.share


def app_label(target: int | str, *, id: WorkspaceId, name: str, owner: str) -> str:
    """The readable name where it is a host name's label, and else the one with the id."""
    readable = f"{target}--{name}--{owner}"
    if len(readable) <= LABEL_MAX and _BY_NAME.fullmatch(readable):
        return readable
    return f"{target}--{id}"


def read_app_label(label: str) -> AppName | None:
    """None for what is no app's name."""
    if len(label) > LABEL_MAX:
        return None
    if found := _BY_ID.fullmatch(label):
        what, ref = found[1], found[2]
    elif found := _BY_NAME.fullmatch(label):
        what, ref = found[1], f"{found[3]}/{found[2]}"
    else:
        return None
    target = int(what) if what[0].isdigit() else what
    return None if isinstance(target, int) and target > PORT_MAX else AppName(target, ref)
