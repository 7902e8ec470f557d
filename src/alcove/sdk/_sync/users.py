# Made by tools/async_to_sync.py from _async/users.py: change that one.
"""People and service accounts."""

from collections.abc import Iterator
from typing import Literal, TypeAlias
from urllib.parse import quote

from alcove.sdk._sync.pages import items
from alcove.sdk._sync.transport import Transport
from alcove.sdk.answers import request
from alcove.wire.base import Page
from alcove.wire.users import Me, NewUser, PasswordChange, SignInLink, User, UserChange

RoleName: TypeAlias = Literal["owner", "admin", "member", "auditor"]


class Users:
    """Everything but `me` and one's own password is for administrators."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def me(self) -> Me:
        """Who this token belongs to, and what it may do."""
        return self._transport.get(Me, "/users/me")

    def list(self) -> Iterator[User]:
        return items(self._transport, Page[User], "/users")

    def get(self, name: str) -> User:
        return self._transport.get(User, _path(name))

    def create(
        self,
        name: str,
        *,
        role: RoleName = "member",
        display_name: str | None = None,
        email: str | None = None,
        service: bool | None = None,
        password: str | None = None,
    ) -> User:
        """A person without a password signs in by link; a service account has tokens only."""
        body = request(
            NewUser,
            {
                "name": name,
                "role": role,
                "display_name": display_name,
                "email": email,
                "service": service,
                "password": password,
            },
        )
        return self._transport.post(User, "/users", body)

    def update(
        self,
        name: str,
        *,
        role: RoleName | None = None,
        display_name: str | None = None,
        email: str | None = None,
    ) -> User:
        body = {"role": role, "display_name": display_name, "email": email}
        return self._transport.patch(User, _path(name), request(UserChange, body))

    def disable(self, name: str) -> User:
        """Ends their sessions and tokens at once; what they own stays."""
        return self._transport.patch(User, _path(name), request(UserChange, {"disabled": True}))

    def enable(self, name: str) -> User:
        return self._transport.patch(User, _path(name), request(UserChange, {"disabled": False}))

    def set_password(self, name: str, new: str, *, current: str | None = None) -> None:
        """`current` is asked of those who change their own."""
        body = request(PasswordChange, {"new": new, "current": current})
        self._transport.send("POST", f"{_path(name)}/password", json=body)

    def sign_in_link(self, name: str) -> SignInLink:
        """A URL that signs this user in, once, within ten minutes."""
        return self._transport.post(SignInLink, f"{_path(name)}/sign-in-link")


def _path(name: str) -> str:
    return f"/users/{quote(name, safe='')}"
