"""API tokens. The secret is answered once, when the token is made."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from alcove.model.access import Permission
from alcove.wire.base import Answer, Duration, Reference, Request, UserName


class NewToken(Request):
    """Without `scopes` it may do what its user may; it never may do more than its maker."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._@/-]{0,63}$")]
    scopes: Annotated[list[Permission], Field(min_length=1, max_length=64)] | None = None
    expires_in: Duration | None = None
    """Default: 90 days for people, never for service accounts."""
    workspace: Reference | None = None
    """The only workspace that it may touch."""
    user: UserName | None = None
    """A service account (or anybody): for administrators."""


class Token(Answer):
    id: str
    name: str
    user: str
    scopes: list[Permission] | None
    workspace: str | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class TokenCreated(Token):
    """The only time that the secret is shown."""

    token: str
