"""Users and service accounts."""

from datetime import datetime
from typing import Annotated, Final, TypeAlias

from pydantic import Field, SecretStr, StringConstraints

from alcove.model.access import Permission, Role
from alcove.wire.base import Answer, Line, Request, UserName

Email: TypeAlias = Annotated[
    str, StringConstraints(max_length=254, pattern=r"^([^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+)?$")
]
PASSWORD_MIN: Final = 12
PASSWORD_MAX: Final = 256
NewPassword: TypeAlias = Annotated[
    SecretStr, Field(min_length=PASSWORD_MIN, max_length=PASSWORD_MAX)
]


class NewUser(Request):
    """A service account has tokens only; a person without a password signs in by link."""

    name: UserName
    display_name: Line = ""
    email: Email = ""
    role: Role = Role.MEMBER
    service: bool = False
    password: NewPassword | None = None


class UserChange(Request):
    """Only what is given changes."""

    display_name: Line | None = None
    email: Email | None = None
    role: Role | None = None
    disabled: bool | None = None


class PasswordChange(Request):
    """`current` is asked of those who change their own; ends all their other sessions."""

    current: Annotated[SecretStr, Field(max_length=PASSWORD_MAX)] | None = None
    new: NewPassword


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
