"""Forwarding: `-L`, `-D` and Unix sockets into the workspace, `-R` and the agent out of it.

`connection.py` calls these for what the client asks on a connection. Where a client may be
connected to is the workspace itself and nothing else: what the workspace can reach is reached
from inside it, by its own rules. What outlives the call ends with the connection.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

import anyio
import asyncssh
import structlog
from anyio import abc

from alcove.core import forwards, ports
from alcove.core.forwards import Accepted, Listening
from alcove.drivers.base import ByteStream
from alcove.gateway.caller import Caller
from alcove.gateway.piping import OPEN_S, WAITING_MAX, Pipe
from alcove.model.access import Permission
from alcove.model.errors import AlcoveError, Denied, TooMany
from alcove.model.workspace import Workspace

FORWARDS_MAX: Final = 100
"""Forwarded connections of one SSH connection."""
LISTENERS_MAX: Final = 16
PACKET_MAX: Final = 32 * 1024
AGENT_SOCKET: Final = "SSH_AUTH_SOCK"
_log = structlog.get_logger("alcove.ssh")

_Way = AbstractAsyncContextManager[ByteStream]
_Socket = AbstractAsyncContextManager[Listening]
_Deliver = Callable[[Pipe, Accepted, int], Awaitable[object]]
"""Opens the channel to the client, for what was accepted on this port."""


async def tcp_connection(
    caller: Caller, host: str, port: int, origin: tuple[str, int]
) -> asyncssh.SSHTCPSession[bytes]:
    """`direct-tcpip`: the client wants to be connected to this, as seen from the workspace.

    Raises Denied for anything but the workspace itself, and what `ports.open` does.
    """
    own = forwards.own_host(caller.workspace, host)
    once = f"{host[:253]} {port}"
    if own is None:
        name = caller.workspace.name
        why = f"only workspace {name} itself can be reached, as localhost; not {_shown(host)}"
        await caller.refused("forward", why, once=once, host=_shown(host), port=port)
        raise Denied(why)
    workspace = await caller.enter(
        "forward", Permission.WORKSPACE_FORWARD, once=once, host=_shown(host), port=port
    )
    return await _piped(caller, ports.open(caller.core, workspace, port, host=own or None))


async def unix_connection(caller: Caller, path: str) -> asyncssh.SSHUNIXSession[bytes]:
    """`direct-streamlocal@openssh.com`: to this Unix socket inside the workspace. Raises Invalid
    for what is no path of one, NotListening with the reason where nobody answers."""
    workspace = await caller.enter(
        "forward", Permission.WORKSPACE_FORWARD, once=path[:512], path=_shown(path)
    )
    return await _piped(caller, forwards.open_socket(caller.core, workspace, path))


async def tcp_listener(caller: Caller, host: str, port: int) -> asyncssh.SSHListener | None:
    """`tcpip-forward`: listen on this port inside, on the loopback, whatever address is asked
    for: what is behind it is the caller's own machine. Port 0 is any free one."""
    workspace = await caller.enter(
        "listen", Permission.WORKSPACE_LISTEN, host=_shown(host), port=port
    )
    connection = caller.connection

    async def deliver(pipe: Pipe, one: Accepted, chosen: int) -> None:
        await connection.create_connection(lambda: pipe, host, chosen, *one.peer)

    opening = forwards.listen_on_port(caller.core, workspace, port)
    return await _listener(caller, workspace, opening, deliver)


async def unix_listener(caller: Caller, path: str) -> asyncssh.SSHListener | None:
    """`streamlocal-forward@openssh.com`: listen on this path inside."""
    workspace = await caller.enter("listen", Permission.WORKSPACE_LISTEN, path=_shown(path))
    connection = caller.connection

    async def deliver(pipe: Pipe, _: Accepted, __: int) -> None:
        await connection.create_unix_connection(lambda: pipe, path)

    opening = forwards.listen_at(caller.core, workspace, path)
    return await _listener(caller, workspace, opening, deliver)


async def agent(caller: Caller) -> bool:
    """`auth-agent-req@openssh.com`: whether the client's agent is reachable from inside now.
    The path of its socket goes into `caller.env["SSH_AUTH_SOCK"]`, for all of the connection."""
    if AGENT_SOCKET in caller.env:
        return True
    workspace = await caller.enter("agent", Permission.WORKSPACE_LISTEN)
    connection = caller.connection

    async def deliver(pipe: Pipe, _: Accepted, __: int) -> None:
        await connection.create_agent_channel(WAITING_MAX, PACKET_MAX).open(lambda: pipe)

    opening = forwards.listen_for_agent(caller.core, workspace)
    listener = await _listener(caller, workspace, opening, deliver)
    caller.env.setdefault(AGENT_SOCKET, listener.path)
    return True


class _Listener(asyncssh.SSHListener):
    """What asyncssh keeps of a socket that listens inside."""

    def __init__(self, listening: Listening, scope: anyio.CancelScope) -> None:
        super().__init__()
        self.path = listening.path
        self._port = listening.port
        self._scope = scope
        self.ended = anyio.Event()

    def get_port(self) -> int:
        return self._port

    def close(self) -> None:
        """Listen no longer; connections that were made live on."""
        self._scope.cancel()

    async def wait_closed(self) -> None:
        await self.ended.wait()


async def _piped(caller: Caller, way: _Way) -> Pipe:
    """A session that is connected already, so that a refusal can say why."""
    pipe = Pipe()
    await caller.tasks.start(_carry, caller, way, pipe, None)
    return pipe


async def _carry(
    caller: Caller,
    way: _Way,
    pipe: Pipe,
    deliver: Callable[[], Awaitable[object]] | None,
    *,
    task_status: abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Hold one forwarded connection, from its opening to its end."""
    if caller.forwards >= FORWARDS_MAX:
        said = f"{FORWARDS_MAX} connections are forwarded on this one; close some"
        raise TooMany(said, retry_after_s=1)
    caller.forwards += 1
    begun = False
    try:
        async with way as stream:
            if deliver is not None:
                with anyio.fail_after(OPEN_S):
                    await deliver()
            begun = True
            task_status.started()
            await pipe.carry(stream)
    except Exception as error:
        if not begun:
            raise
        # One forwarded connection that broke is no reason to end all the others.
        _log.debug("broken", what="forward", why=str(error))
    finally:
        caller.forwards -= 1


async def _listener(
    caller: Caller, workspace: Workspace, opening: _Socket, deliver: _Deliver
) -> _Listener:
    listener: _Listener = await caller.tasks.start(_listen, caller, workspace, opening, deliver)
    return listener


async def _listen(
    caller: Caller,
    workspace: Workspace,
    opening: _Socket,
    deliver: _Deliver,
    *,
    task_status: abc.TaskStatus[_Listener] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Hold one socket that listens inside; each connection to it becomes a channel."""
    if caller.listeners >= LISTENERS_MAX:
        said = f"{LISTENERS_MAX} sockets listen for this connection; close some"
        raise TooMany(said, retry_after_s=1)
    caller.listeners += 1
    made: _Listener | None = None
    try:
        with anyio.CancelScope() as scope:
            async with opening as listening:
                made = _Listener(listening, scope)
                task_status.started(made)
                async for one in listening.incoming:
                    port = listening.port
                    caller.tasks.start_soon(_deliver, caller, workspace, one, port, deliver)
    except AlcoveError as error:
        if made is None:
            raise
        _log.debug("broken", what="listener", why=str(error))
    finally:
        caller.listeners -= 1
        if made is not None:
            made.ended.set()


async def _deliver(
    caller: Caller, workspace: Workspace, one: Accepted, port: int, deliver: _Deliver
) -> None:
    """Have the client connected to what somebody inside has connected to."""
    pipe = Pipe()
    way = forwards.accept(caller.core, workspace, one)
    try:
        await _carry(caller, way, pipe, lambda: deliver(pipe, one, port))
    except Exception as error:
        # Such as a client that does not want it: what is inside sees its connection close.
        _log.debug("refused", what="forwarded connection", why=str(error))


def _shown(text: str) -> str:
    """What a client said, for an event or an error: bounded, and without control characters."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:256])
