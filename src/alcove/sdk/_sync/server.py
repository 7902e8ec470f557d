# Made by tools/async_to_sync.py from _async/server.py: change that one.
"""What the installation is and can do."""

from alcove.sdk._sync.transport import Transport
from alcove.sdk.errors import Unauthenticated
from alcove.wire.server import Server as Installation
from alcove.wire.users import Me


class Server:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def info(self) -> Installation:
        """Version, and what each driver can do here and cannot, with the reasons."""
        return self._transport.get(Installation, "/server")

    def accepts_token(self) -> bool:
        """Whether the token is good. Raises for every other trouble."""
        try:
            self._transport.get(Me, "/users/me")
        except Unauthenticated:
            return False
        return True
