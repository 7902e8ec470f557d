"""One SSH connection: what asyncssh asks of a server, answered for a `Caller`.

asyncssh has the protocol; who comes in is decided by `auth.py`, what a channel may do by
`Caller.enter`. What asyncssh would do by itself (certificates with its own idea of time and
principals, listeners on this machine for agents and X11) is overridden here.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar, cast

import asyncssh
import structlog
from anyio.abc import TaskGroup
from asyncssh.constants import (
    DISC_BY_APPLICATION,
    DISC_NO_MORE_AUTH_METHODS_AVAILABLE,
    MSG_IGNORE,
    OPEN_ADMINISTRATIVELY_PROHIBITED,
    OPEN_RESOURCE_SHORTAGE,
)
from asyncssh.packet import SSHPacket, SSHPacketLogger, String

from alcove.core.app import Core
from alcove.gateway import forwarding
from alcove.gateway.algorithms import SIGNATURES
from alcove.gateway.auth import Login
from alcove.gateway.caller import Caller
from alcove.gateway.gathering import Gathering
from alcove.gateway.session import Channel, Session
from alcove.model.errors import AlcoveError

CHANNELS_MAX: Final = 128
"""Open at once on one connection."""
TRIES_MAX: Final = 30
"""On one connection: each offer of a key is one, and each refusal; so about 15 keys."""
_T = TypeVar("_T")
_log = structlog.get_logger("alcove.ssh")


@dataclass(slots=True)
class Context:
    """What belongs to one connection, before and after it is known who calls."""

    core: Core
    tasks: TaskGroup
    login: Login
    proven: Callable[[], None]
    """Called once, when it is known who calls."""
    arrived: Callable[[Caller, Login], Awaitable[None]]
    """Called once with a caller who has somewhere to go; may raise."""
    caller: Caller | None = None
    tries: int = 0


class Connection(asyncssh.SSHServerConnection):
    """asyncssh's, with the decisions that are ours."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        options: asyncssh.SSHServerConnectionOptions,
        context: Context,
    ) -> None:
        self.context = context
        self.loop = loop
        super().__init__(loop, options)

    @property
    def open_channels(self) -> int:
        return len(self._channels)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(Gathering(cast("asyncio.Transport", transport), self.loop))

    def log_sent_packet(
        self, pkttype: int, pktid: int | None, packet: bytes | SSHPacket, note: str = ""
    ) -> None:
        """Packets are not logged."""

    def send_packet(
        self, pkttype: int, *args: bytes, handler: SSHPacketLogger | None = None
    ) -> None:
        """Without the empty packet that asyncssh sends before each one: that is against what is
        known of CBC, which is not spoken here, and takes as long to send as a full one."""
        if pkttype != MSG_IGNORE:
            super().send_packet(pkttype, *args, handler=handler)

    async def reload_config(self) -> None:
        """There are no configuration files that would differ by user."""

    async def validate_public_key(
        self, username: str, key_data: bytes, msg: bytes, signature: bytes
    ) -> bool:
        """Whether this key or certificate lets anybody in; with `msg`, also that it signed it."""
        context = self.context
        if not self._may_try():
            return False
        key = await context.login.key(key_data, signed=bool(msg))
        if key is None:
            return False
        if not msg:
            return True
        key.set_touch_required(True)
        # SHA-1 is not among them, whatever the key itself would verify.
        if SSHPacket(signature).get_string().decode("ascii", "replace") not in SIGNATURES:
            return False
        if not key.verify(String(self._session_id) + msg, signature):
            return False
        return await context.login.let_in()

    def send_userauth_failure(self, partial_success: bool) -> None:
        """Also for methods that we do not have: each is a try."""
        if self._may_try():
            super().send_userauth_failure(partial_success)

    async def send_userauth_success(self) -> None:
        """Finds out where the caller goes before it may open anything; goodbye where there is
        nothing to come in to."""
        context = self.context
        context.proven()
        goodbye = ""
        try:
            # Known before it arrives: one that goes meanwhile has left, too.
            context.caller = await context.login.caller(self, context.tasks)
            await context.arrived(context.caller, context.login)
        except AlcoveError as error:
            context.caller, goodbye = None, str(error)
        await super().send_userauth_success()
        if goodbye:
            self.disconnect(DISC_BY_APPLICATION, goodbye)

    async def attach_x11_listener(
        self,
        chan: object,
        auth_proto: bytes,
        auth_data: bytes,
        screen: int,
    ) -> str | None:
        if self.context.caller is not None:
            await self.context.caller.refused("x11", "there is no X11 here")
        return None

    async def create_agent_listener(self) -> bool:
        """Inside the workspace, and never on this machine."""
        caller = self.context.caller
        if caller is None:
            return False
        try:
            return await forwarding.agent(caller)
        except AlcoveError as error:
            _log.debug("refused", what="agent", why=str(error))
            return False

    def get_agent_path(self) -> str | None:
        return None

    def _may_try(self) -> bool:
        self.context.tries += 1
        if self.context.tries <= TRIES_MAX:
            return True
        if not self.is_closed():
            self.disconnect(DISC_NO_MORE_AUTH_METHODS_AVAILABLE, "too many tries")
        return False


class Server(asyncssh.SSHServer):
    """The callbacks of one connection."""

    _connection: Connection

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = cast("Connection", conn)

    def begin_auth(self, username: str) -> bool:
        """False where the caller is known already: the bearer token was the proof."""
        return not self._connection.context.login.begin(username)

    def public_key_auth_supported(self) -> bool:
        return True

    def session_requested(
        self,
    ) -> "tuple[asyncssh.SSHServerChannel[bytes], asyncssh.SSHServerSession[bytes]]":
        caller = self._open()
        connection = self._connection
        return Channel.of(connection, connection.loop), Session(caller)

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> "Awaitable[asyncssh.SSHTCPSession[bytes]]":
        caller = self._open()
        origin = (orig_host, orig_port)
        return _or_refused(forwarding.tcp_connection(caller, dest_host, dest_port, origin))

    def unix_connection_requested(
        self, dest_path: str
    ) -> "Awaitable[asyncssh.SSHUNIXSession[bytes]]":
        return _or_refused(forwarding.unix_connection(self._open(), dest_path))

    async def server_requested(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, listen_host: str, listen_port: int
    ) -> "asyncssh.SSHListener | None":
        return await _or_none(forwarding.tcp_listener(self._open(), listen_host, listen_port))

    async def unix_server_requested(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, listen_path: str
    ) -> "asyncssh.SSHListener | None":
        return await _or_none(forwarding.unix_listener(self._open(), listen_path))

    def _open(self) -> Caller:
        context = self._connection.context
        if context.caller is None:
            raise asyncssh.ChannelOpenError(OPEN_ADMINISTRATIVELY_PROHIBITED, "not yet")
        if self._connection.open_channels >= CHANNELS_MAX:
            raise asyncssh.ChannelOpenError(
                OPEN_RESOURCE_SHORTAGE,
                f"{CHANNELS_MAX} channels are open on this connection; close some",
            )
        return context.caller


async def _or_refused(opening: Awaitable[_T]) -> _T:
    try:
        return await opening
    except AlcoveError as error:
        raise asyncssh.ChannelOpenError(OPEN_ADMINISTRATIVELY_PROHIBITED, str(error)) from error


async def _or_none(
    opening: "Awaitable[asyncssh.SSHListener | None]",
) -> asyncssh.SSHListener | None:
    try:
        return await opening
    except AlcoveError as error:
        _log.debug("refused", what="listener", why=str(error))
        return None
