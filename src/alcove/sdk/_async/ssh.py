"""SSH keys of the caller's, and certificates that are good for minutes."""

from collections.abc import AsyncIterator
from urllib.parse import quote

from alcove.sdk._async.pages import items
from alcove.sdk._async.transport import AsyncTransport
from alcove.sdk.answers import request
from alcove.wire.base import Page
from alcove.wire.ssh import NewSshCertificate, NewSshKey, SshCertificate, SshKey


class AsyncSsh:
    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    def keys(self) -> AsyncIterator[SshKey]:
        """The caller's own."""
        return items(self._transport, Page[SshKey], "/users/me/ssh-keys")

    async def add_key(self, name: str, public_key: str) -> SshKey:
        """Let whoever has the private half in as the caller. Raises Invalid for a private key,
        a damaged one and a weak one, and Conflict for one that is in use."""
        body = request(NewSshKey, {"name": name, "public_key": public_key})
        return await self._transport.post(SshKey, "/users/me/ssh-keys", body)

    async def remove_key(self, id: str) -> None:
        """Connections that came in by it end within a second."""
        await self._transport.send("DELETE", f"/users/me/ssh-keys/{quote(id, safe='')}")

    async def certificate(
        self, public_key: str, *, workspace: str | None = None
    ) -> SshCertificate:
        """A certificate for this key, good for five minutes, and for one workspace if named."""
        body = request(NewSshCertificate, {"public_key": public_key, "workspace": workspace})
        return await self._transport.post(SshCertificate, "/ssh/certificates", body)
