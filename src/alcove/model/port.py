"""A workspace's ports as others reach them: who may open one, and under which name. Pure."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from alcove.model.access import OWN, Actor, Permission, allows
from alcove.model.workspace import UserId, WorkspaceId

PORT_MAX: Final = 65535
LABEL_MAX: Final = 63
"""Of a host name, RFC 1035."""
_BY_ID: Final = re.compile(r"([1-9][0-9]{0,4})--(ws-[a-z2-7]{16})")
_NAME: Final = r"[a-z0-9]+(?:-[a-z0-9]+)*"
_BY_NAME: Final = re.compile(rf"([1-9][0-9]{{0,4}})--({_NAME})--({_NAME})")


class Level(StrEnum):
    """Who may open a port."""

    PRIVATE = "private"
    """Its owner, and administrators."""
    TEAM = "team"
    """Everybody who may have workspaces here."""
    PUBLIC = "public"
    """Everybody who knows the address."""


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
    """The first label of an app's host name: `8000--api--ada`, or `8000--ws-…`."""

    port: int
    ref: str
    """The workspace's id, or `owner/name`."""


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


def app_label(port: int, *, id: WorkspaceId, name: str, owner: str) -> str:
    """The readable name where it is a host name's label, and else the one with the id."""
    readable = f"{port}--{name}--{owner}"
    if len(readable) <= LABEL_MAX and _BY_NAME.fullmatch(readable):
        return readable
    return f"{port}--{id}"


def read_app_label(label: str) -> AppName | None:
    """None for what is no app's name."""
    if len(label) > LABEL_MAX:
        return None
    if found := _BY_ID.fullmatch(label):
        port, ref = int(found[1]), found[2]
    elif found := _BY_NAME.fullmatch(label):
        port, ref = int(found[1]), f"{found[3]}/{found[2]}"
    else:
        return None
    return AppName(port, ref) if port <= PORT_MAX else None
