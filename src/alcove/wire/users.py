"""Users and service accounts."""

from datetime import datetime
from typing import Annotated

from pydantic import SecretStr, StringConstraints

from alcove.model.access import Permission, Role
from alcove.wire.base import Answer, Line, Request, UserName

Email = Annotated[
    str, StringConstraints(max_length=254, pattern=r"^([^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+)?$")
]
PASSWORD_MIN = 12
PASSWORD_MAX = 256


class NewUser(Request):
    """A service account has tokens only; a person without a password signs in by link."""

    name: UserName
    display_name: Line = ""
    email: Email = ""
    role: Role = Role.MEMBER
    service: bool = False
    password: SecretStr | None = None


class UserChange(Request):
    """Only what is given changes."""

    display_name: Line | None = None
    email: Email | None = None
    role: Role | None = None
    disabled: bool | None = None


class PasswordChange(Request):
    """`current` is asked of those who change their own; ends all their other sessions."""

    current: SecretStr | None = None
    new: SecretStr


class User(Answer):
    id: str
    name: str
    display_name: str
    email: str
    role: Role
    service: bool
    disabled: bool
    created_at: datetime


class Me(User):
    """The caller, and what this credential may do with what is their own."""

    permissions: list[Permission]
    workspace: str | None = None
    """The only workspace that this token may touch."""


class SignInLink(Answer):
    """Works once, for ten minutes."""

    url: str
    expires_at: datetime
