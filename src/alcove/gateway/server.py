"""The SSH gateway: accepts connections, counts strangers, and ends what is no longer allowed.

`Gateway` is one per server, made by the composition root: `serve` is its loop, `handle` serves a
connection whose caller is known already.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

import anyio
import structlog

from alcove.core import ssh_ca
from alcove.core.app import Core
from alcove.drivers.base import ByteStream
from alcove.gateway.algorithms import options
from alcove.gateway.auth import Login, new_session
from alcove.gateway.caller import Caller, end
from alcove.gateway.connection import Connection, Context, Server
from alcove.gateway.limits import Doorway
from alcove.gateway.live import looker
from alcove.gateway.watch import Watch
from alcove.model.access import Actor
from alcove.model.errors import TooMany, Unavailable
from alcove.model.event import EventKind

BACKLOG: Final = 512
CONNECTIONS_PER_USER: Final = 1000
BREATH_S: Final = 0.1
_PIECE: Final = 64 * 1024
_log = structlog.get_logger("alcove.ssh")


class Gateway:
    """All SSH connections of one server."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._options = options(core.secret, server=Server)
        self._doorway = Doorway(core)
        self._watch = Watch(core)

    @property
    def host_keys(self) -> str:
        """What clients keep in known_hosts: `type base64`, several with commas between."""
        return ssh_ca.host_public_key(self._core.secret)

    async def serve(self, listener: socket.socket | None) -> None:
        """Accept until cancelled; without a listener only what `handle` is given is served."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch.run)
            if listener is None:
                return
            listener.listen(BACKLOG)
            listener.setblocking(False)
            loop = asyncio.get_running_loop()
            while True:
                try:
                    accepted, address = await loop.sock_accept(listener)
                except OSError as error:
                    # Out of descriptors, most likely: those who wait are taken when there are.
                    _log.warning("cannot accept", error=str(error))
                    await anyio.sleep(BREATH_S)
                    continue
                tasks.start_soon(self._guarded, accepted, str(address[0]))

    async def handle(
        self, actor: Actor, stream: ByteStream, *, workspace: str | None = None
    ) -> None:
        """Serve SSH over a stream whose caller is known: the method `none` lets them in.

        `workspace` is what is meant, whatever the login name says. Returns at the end of the
        connection. Raises Unavailable when the server is about to end.
        """
        if self._core.gate.closing:
            raise Unavailable("the server is being restarted; connect again")
        login = Login(self._core, actor.address, new_session(), known=actor, workspace=workspace)
        ours, theirs = socket.socketpair()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_pump, stream, ours)
            await self._connection(theirs, login, lambda: None)
            tasks.cancel_scope.cancel()

    async def _guarded(self, accepted: socket.socket, address: str) -> None:
        """One connection from the network. Whatever goes wrong with it is nobody else's."""
        held: list[Connection] = []
        stranger = None
        if not self._core.gate.closing:
            stranger = self._doorway.admit(address, lambda: _abort(held))
        if stranger is None:
            accepted.close()
            return
        login = Login(self._core, address, new_session())
        try:
            await self._connection(
                accepted, login, lambda: self._doorway.proven(stranger), held.append
            )
        except Exception:
            _log.exception("connection fell", address=address)
        finally:
            self._doorway.gone(stranger)

    async def _connection(
        self,
        sock: socket.socket,
        login: Login,
        proven: Callable[[], None],
        made: Callable[[Connection], None] = lambda _: None,
    ) -> None:
        loop = asyncio.get_running_loop()
        async with anyio.create_task_group() as tasks:
            context = Context(self._core, tasks, login, proven, self._arrived)
            connection = Connection(loop, self._options, context)
            made(connection)
            try:
                await loop.connect_accepted_socket(lambda: connection, sock)
                await connection.wait_closed()
            finally:
                connection.abort()
                tasks.cancel_scope.cancel()
                self._core.live.remove(login.session)
                if context.caller is not None:
                    await self._left(context.caller, context.login)

    async def _arrived(self, caller: Caller, login: Login) -> None:
        """Raises TooMany when the user has too many connections already."""
        if caller.connection.is_closed():
            return
        if self._watch.of(caller.actor) >= CONNECTIONS_PER_USER:
            raise TooMany(
                f"{caller.actor.name} has {CONNECTIONS_PER_USER} connections; close some",
                retry_after_s=1,
            )
        self._watch.add(caller)
        version = caller.connection.get_extra_info("client_version") or ""
        detail = {"method": login.method, "client": str(version)[:128]}
        if login.fingerprint:
            detail["fingerprint"] = login.fingerprint
        self._core.live.add(looker(caller, login), lambda why: end(caller, why))
        await caller.tell(EventKind.SESSION_OPENED, "ssh", dict(detail))

    async def _left(self, caller: Caller, login: Login) -> None:
        self._watch.remove(caller)
        with anyio.CancelScope(shield=True):
            await caller.tell(EventKind.SESSION_CLOSED, "ssh", {})


def _abort(held: list[Connection]) -> None:
    for connection in held:
        connection.abort()


async def _pump(stream: ByteStream, ours: socket.socket) -> None:
    """Bytes both ways between the stream and a socket of our own."""
    loop = asyncio.get_running_loop()
    ours.setblocking(False)

    async def inward() -> None:
        try:
            while True:
                await loop.sock_sendall(ours, await stream.receive(_PIECE))
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            _shut(ours)

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(inward)
            while data := await loop.sock_recv(ours, _PIECE):
                await stream.send(data)
            tasks.cancel_scope.cancel()
    except* (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        _shut(ours)
    finally:
        ours.close()


def _shut(ours: socket.socket) -> None:
    try:
        ours.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
