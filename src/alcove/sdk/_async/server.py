"""What the installation is and can do."""

from alcove.sdk._async.transport import AsyncTransport
from alcove.sdk.errors import Unauthenticated
from alcove.wire.server import Server as Installation
from alcove.wire.users import Me


class AsyncServer:
    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def info(self) -> Installation:
        """Version, and what each driver can do here and cannot, with the reasons."""
        return await self._transport.get(Installation, "/server")

    async def accepts_token(self) -> bool:
        """Whether the token is good. Raises for every other trouble."""
        try:
            await self._transport.get(Me, "/users/me")
        except Unauthenticated:
            return False
        return True
