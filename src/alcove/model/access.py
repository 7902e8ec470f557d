"""Who may do what: one enum of permissions, one table of roles, one pure function.

A route names its permission; `allows` answers for an actor and the owner of what is touched.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from alcove.model.workspace import UserId, WorkspaceId


class Role(StrEnum):
    OWNER = "owner"
    """The first admin; like admin, and cannot be disabled by others."""
    ADMIN = "admin"
    MEMBER = "member"
    AUDITOR = "auditor"
    """Reads everything about everyone, changes nothing, enters nothing."""


class Permission(StrEnum):
    """`resource:action`. Keep the list alphabetical."""

    AUDIT_READ = "audit:read"
    POOL_READ = "pool:read"
    POOL_WRITE = "pool:write"
    RECORDING_READ = "recording:read"
    """Replay what was done in a terminal, or search it; each reading is an event."""
    SERVER_OPERATE = "server:operate"
    SERVER_READ = "server:read"
    SNAPSHOT_READ = "snapshot:read"
    SNAPSHOT_WRITE = "snapshot:write"
    """Take one, fork, delete one. Making a workspace of it needs `workspace:create` too."""
    TEMPLATE_READ = "template:read"
    TEMPLATE_WRITE = "template:write"
    TOKEN_MANAGE = "token:manage"
    USER_MANAGE = "user:manage"
    USER_READ = "user:read"
    WORKSPACE_CREATE = "workspace:create"
    WORKSPACE_DELETE = "workspace:delete"
    WORKSPACE_EXEC = "workspace:exec"
    WORKSPACE_FILES = "workspace:files"
    WORKSPACE_FORWARD = "workspace:forward"
    """Reach its ports and sockets through SSH: `ssh -L`, `-D` and `-J`."""
    WORKSPACE_LISTEN = "workspace:listen"
    """Let it reach the caller's: `ssh -R`, and the forwarded SSH agent."""
    WORKSPACE_READ = "workspace:read"
    WORKSPACE_UPDATE = "workspace:update"


P = Permission
_MEMBER_OWN: Final = frozenset(
    {
        P.RECORDING_READ,
        P.SNAPSHOT_READ,
        P.SNAPSHOT_WRITE,
        P.TOKEN_MANAGE,
        P.WORKSPACE_CREATE,
        P.WORKSPACE_DELETE,
        P.WORKSPACE_EXEC,
        P.WORKSPACE_FILES,
        P.WORKSPACE_FORWARD,
        P.WORKSPACE_LISTEN,
        P.WORKSPACE_READ,
        P.WORKSPACE_UPDATE,
    }
)
_MEMBER_ANY: Final = frozenset({P.POOL_READ, P.SERVER_READ, P.TEMPLATE_READ, P.USER_READ})
_AUDITOR_ANY: Final = _MEMBER_ANY | {
    P.AUDIT_READ,
    P.RECORDING_READ,
    P.SNAPSHOT_READ,
    P.WORKSPACE_READ,
}
_ALL: Final = frozenset(Permission)

OWN: Final[dict[Role, frozenset[Permission]]] = {
    Role.OWNER: _ALL,
    Role.ADMIN: _ALL,
    Role.MEMBER: _MEMBER_OWN | _MEMBER_ANY,
    Role.AUDITOR: _AUDITOR_ANY | {P.TOKEN_MANAGE},
}
"""What a role may do with what is the actor's own."""

ANY: Final[dict[Role, frozenset[Permission]]] = {
    Role.OWNER: _ALL,
    Role.ADMIN: _ALL,
    Role.MEMBER: _MEMBER_ANY,
    Role.AUDITOR: _AUDITOR_ANY,
}
"""What a role may do with what is somebody else's, or nobody's."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who is calling, with what this one credential is limited to."""

    id: UserId
    name: str
    role: Role
    service: bool = False
    """A service account: no password, tokens only."""
    scopes: frozenset[Permission] | None = None
    """The token's; None means all that the role has."""
    workspace: WorkspaceId | None = None
    """The only workspace this token may touch."""
    credential: str = ""
    """Id of the token or session, for the events."""
    expires_at: datetime | None = None
    """When the token ends; a token that it makes ends no later."""
    address: str = ""
    request_id: str = ""


SYSTEM: Final = Actor(id=UserId("system"), name="system", role=Role.OWNER, service=True)
"""Timers and the reconciler."""


def allows(
    actor: Actor,
    permission: Permission,
    *,
    owner: UserId | None = None,
    workspace: WorkspaceId | None = None,
) -> bool:
    """Whether the actor may do this to something of `owner`'s (None: nobody's in particular).

    A token bound to one workspace may do nothing that is not about that workspace.
    """
    if actor.workspace is not None and workspace != actor.workspace:
        return False
    if actor.scopes is not None and permission not in actor.scopes:
        return False
    table = OWN if owner == actor.id else ANY
    return permission in table[actor.role]
