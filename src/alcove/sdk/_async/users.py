"""People and service accounts."""

from collections.abc import AsyncIterator
from typing import Literal, TypeAlias
from urllib.parse import quote

from alcove.sdk._async.pages import items
from alcove.sdk._async.transport import AsyncTransport
from alcove.sdk.answers import request
from alcove.wire.base import Page
from alcove.wire.users import Me, NewUser, PasswordChange, SignInLink, User, UserChange

RoleName: TypeAlias = Literal["owner", "admin", "member", "auditor"]


class AsyncUsers:
    """Everything but `me` and one's own password is for administrators."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def me(self) -> Me:
        """Who this token belongs to, and what it may do."""
        return await self._transport.get(Me, "/users/me")

    def list(self) -> AsyncIterator[User]:
        return items(self._transport, Page[User], "/users")

    async def get(self, name: str) -> User:
        return await self._transport.get(User, _path(name))

    async def create(
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
        return await self._transport.post(User, "/users", body)

    async def update(
        self,
        name: str,
        *,
        role: RoleName | None = None,
        display_name: str | None = None,
        email: str | None = None,
    ) -> User:
        body = {"role": role, "display_name": display_name, "email": email}
        return await self._transport.patch(User, _path(name), request(UserChange, body))

    async def disable(self, name: str) -> User:
        """Ends their sessions and tokens at once; what they own stays."""
        return await self._transport.patch(
            User, _path(name), request(UserChange, {"disabled": True})
        )

    async def enable(self, name: str) -> User:
        return await self._transport.patch(
            User, _path(name), request(UserChange, {"disabled": False})
        )

    async def set_password(self, name: str, new: str, *, current: str | None = None) -> None:
        """`current` is asked of those who change their own."""
        body = request(PasswordChange, {"new": new, "current": current})
        await self._transport.send("POST", f"{_path(name)}/password", json=body)

    async def sign_in_link(self, name: str) -> SignInLink:
        """A URL that signs this user in, once, within ten minutes."""
        return await self._transport.post(SignInLink, f"{_path(name)}/sign-in-link")


def _path(name: str) -> str:
    return f"/users/{quote(name, safe='')}"
