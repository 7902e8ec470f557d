"""A port of this machine that leads to one of a workspace: a tunnel for each connection."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial

import anyio
from anyio import to_thread
from anyio.abc import Listener, SocketAttribute, SocketStream

from alcove.cli import screen
from alcove.model.port import app_label
from alcove.model.workspace import WorkspaceId
from alcove.sdk import AlcoveError, AsyncAlcove
from alcove.sdk._async.ports import AsyncConnection
from alcove.sdk._async.workspace import AsyncWorkspace

_GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError)


async def forward(
    ref: str,
    address: str,
    ports: Sequence[tuple[int, int]],
    *,
    listening: Callable[[str], None] | None = None,
) -> None:
    """Local and remote ports, until it is cancelled. Raises OSError when a local one is taken:
    then none is forwarded. `listening` gets the address of each for browsers."""
    async with AsyncAlcove() as api, AsyncExitStack() as stack:
        workspace = await api.workspaces.get(ref)
        servers: list[tuple[Listener[SocketStream], int]] = []
        for local, remote in ports:
            server = await anyio.create_tcp_listener(local_host=address, local_port=local)
            servers.append((await stack.enter_async_context(server), remote))
        async with anyio.create_task_group() as tasks:
            for server, remote in servers:
                port = server.extra(SocketAttribute.local_port)
                screen.say(
                    f"{address}:{port} leads to port {remote} of {workspace.name}; Ctrl-C ends."
                )
                tasks.start_soon(_serve, workspace, server, remote)
                if listening is not None:
                    # A browser in a terminal does not give back control before it has the page.
                    there = local_url(workspace, remote, port=port)
                    tasks.start_soon(
                        partial(to_thread.run_sync, abandon_on_cancel=True), listening, there
                    )


def local_url(workspace: AsyncWorkspace, remote: int, *, port: int) -> str:
    """A name of its own below `localhost`, which browsers take for this machine. Cookies do not
    tell ports apart, so that at 127.0.0.1 all workspaces' programs would share theirs."""
    info = workspace.info
    label = app_label(remote, id=WorkspaceId(info.id), name=info.name, owner=info.owner)
    return f"http://{label}.localhost:{port}/"


async def _serve(workspace: AsyncWorkspace, server: Listener[SocketStream], remote: int) -> None:
    async def serve(stream: SocketStream) -> None:
        async with stream:
            await _tunnel(workspace, remote, stream)

    await server.serve(serve)


async def _tunnel(workspace: AsyncWorkspace, remote: int, stream: SocketStream) -> None:
    """One connection that fails takes no other with it."""
    try:
        async with (
            workspace.ports.connect(remote) as connection,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(_upward, stream, connection)
            await _downward(stream, connection)
            tasks.cancel_scope.cancel()
    except AlcoveError as error:
        screen.say(f"port {remote}: {error}")
    except BaseExceptionGroup as group:
        _, rest = group.split(AlcoveError)
        if rest is not None:
            raise


async def _upward(stream: SocketStream, connection: AsyncConnection) -> None:
    with suppress(*_GONE, AlcoveError):
        async for data in stream:
            await connection.send(data)
        await connection.send_eof()


async def _downward(stream: SocketStream, connection: AsyncConnection) -> None:
    with suppress(*_GONE):
        while data := await connection.receive():
            await stream.send(data)
        await stream.send_eof()
