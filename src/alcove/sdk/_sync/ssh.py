# Made by tools/async_to_sync.py from _async/ssh.py: change that one.
"""SSH keys of the caller's, and certificates that are good for minutes."""

from collections.abc import Iterator
from urllib.parse import quote

from alcove.sdk._sync.pages import items
from alcove.sdk._sync.transport import Transport
from alcove.sdk.answers import request
from alcove.wire.base import Page
from alcove.wire.ssh import NewSshCertificate, NewSshKey, SshCertificate, SshKey


class Ssh:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def keys(self) -> Iterator[SshKey]:
        """The caller's own."""
        return items(self._transport, Page[SshKey], "/users/me/ssh-keys")

    def add_key(self, name: str, public_key: str) -> SshKey:
        """Let whoever has the private half in as the caller. Raises Invalid for a private key,
        a damaged one and a weak one, and Conflict for one that is in use."""
        body = request(NewSshKey, {"name": name, "public_key": public_key})
        return self._transport.post(SshKey, "/users/me/ssh-keys", body)

    def remove_key(self, id: str) -> None:
        """Connections that came in by it end within a second."""
        self._transport.send("DELETE", f"/users/me/ssh-keys/{quote(id, safe='')}")

    def certificate(self, public_key: str, *, workspace: str | None = None) -> SshCertificate:
        """A certificate for this key, good for five minutes, and for one workspace if named."""
        body = request(NewSshCertificate, {"public_key": public_key, "workspace": workspace})
        return self._transport.post(SshCertificate, "/ssh/certificates", body)
