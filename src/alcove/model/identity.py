"""People, service accounts, and what they prove themselves with. Pure values."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from alcove.model.access import Permission, Role
from alcove.model.workspace import UserId, WorkspaceId


@dataclass(frozen=True, slots=True)
class User:
    """A person or a service account. Its name never changes."""

    id: UserId
    name: str
    display_name: str
    email: str
    role: Role
    service: bool
    """No password and no session; tokens only."""
    disabled: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Token:
    """An API token without its secret."""

    id: str
    user: UserId
    name: str
    scopes: frozenset[Permission] | None
    """None: all that its user may do."""
    workspace: WorkspaceId | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Session:
    """One browser that is signed in, without its secret."""

    id: str
    user: UserId
    created_at: datetime
    expires_at: datetime
    address: str


class CredentialKind(StrEnum):
    TOKEN = "token"
    SESSION = "session"
    SSH_KEY = "ssh_key"


@dataclass(frozen=True, slots=True)
class Credential:
    """What a look-up by id answers: all that is needed to decide whether it is good."""

    kind: CredentialKind
    id: str
    secret_sha256: str
    user: User
    scopes: frozenset[Permission] | None
    workspace: WorkspaceId | None
    expires_at: datetime | None


class DeviceState(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class DeviceLogin:
    """A program that waits for somebody to let it in, without its secret (RFC 8628)."""

    user_code: str
    """`BCDFGHJK`: what a person compares, and types."""
    client: str
    """What the program says it is: `alcove on ada-laptop`. Nobody has checked it."""
    address: str
    state: DeviceState
    user: UserId | None
    """Who decided."""
    created_at: datetime
    expires_at: datetime
