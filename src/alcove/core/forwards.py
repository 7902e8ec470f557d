"""Ways through a workspace's agent other than its ports: its Unix sockets, its files over SFTP,
and sockets that listen inside for a caller outside.

Rule: as `ports.open`, these ask nobody; whoever calls them has asked what the actor may. All is
done inside with the rights of the workspace's user, so its kernel decides what that reaches.
"""

import ipaddress
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio

from alcove.core import ports
from alcove.core.agent import refusal
from alcove.core.app import Core
from alcove.drivers.base import ByteStream
from alcove.model.errors import FieldError, Invalid, NotListening, Unavailable
from alcove.model.workspace import Workspace

PATH_MAX: Final = 107
"""Bytes of a Unix socket's path, as Linux has it."""
LINE_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Accepted:
    """A connection that somebody inside made, and that waits for `accept` a few seconds."""

    id: str
    peer: tuple[str, int]
    """Its address and port inside; ("", 0) on a Unix socket."""


@dataclass(frozen=True, slots=True)
class Listening:
    port: int
    """0 on a Unix socket."""
    path: str
    """Empty on a port."""
    incoming: AsyncIterator[Accepted]
    """Ends when the workspace does. To be read by one task, once."""


def own_host(workspace: Workspace, host: str) -> str | None:
    """The loopback address that a host named by a client means, "" for whichever has it; None
    where that is anything but the workspace itself."""
    named = host.lower().rstrip(".").removeprefix("[").removesuffix("]")
    if named in ("localhost", workspace.spec.hostname.lower(), workspace.name.lower()):
        return ""
    try:
        address = ipaddress.ip_address(named)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return None
        address = address.ipv4_mapped or address
    if not address.is_loopback:
        return None
    return "" if str(address) == "127.0.0.1" else str(address)


def check_path(path: str) -> None:
    """Raises Invalid for what is no absolute path of a Unix socket."""
    if not path.startswith("/"):
        said = "must be an absolute path"
    elif len(path.encode(errors="surrogateescape")) > PATH_MAX:
        said = f"has more than {PATH_MAX} bytes"
    elif not path.isprintable():
        said = "has characters that no path of a socket should have"
    else:
        return
    raise Invalid(f"path: {said}", [FieldError("path", said)])


@asynccontextmanager
async def open_socket(core: Core, workspace: Workspace, path: str) -> AsyncGenerator[ByteStream]:
    """A fresh connection to the Unix socket. Raises Invalid, and what `ports.open` does."""
    check_path(path)

    def nobody(status: int, said: bytes) -> Exception:
        if status == 502:
            why = str(refusal(status, said)).rpartition(": ")[2]
            return NotListening(f"{path} in workspace {workspace.name}: {why}")
        return refusal(status, said)

    query = {"unix": path}
    async with ports.through(core, workspace, query, what=path, refused=nobody) as stream:
        yield stream


@asynccontextmanager
async def sftp(core: Core, workspace: Workspace) -> AsyncGenerator[ByteStream]:
    """An SFTP server inside; its end ends the stream, and the stream's end ends it."""
    async with ports.through(core, workspace, {"sftp": 1}, what="the SFTP server") as stream:
        yield stream


@asynccontextmanager
async def listen_on_port(core: Core, workspace: Workspace, port: int) -> AsyncGenerator[Listening]:
    """Listen on the loopback inside; 0 is any free port. Raises Conflict when it is taken."""
    query: dict[str, str | int] = {"listen": "tcp", "port": port}
    async with ports.through(core, workspace, query, what=f"port {port}") as stream:
        yield await _listening(stream)


@asynccontextmanager
async def listen_at(core: Core, workspace: Workspace, path: str) -> AsyncGenerator[Listening]:
    """Listen on a Unix socket that is made, and removed at the end. Raises Conflict when
    something is there."""
    check_path(path)
    query = {"listen": "unix", "path": path}
    async with ports.through(core, workspace, query, what=path) as stream:
        yield await _listening(stream)


@asynccontextmanager
async def listen_for_agent(core: Core, workspace: Workspace) -> AsyncGenerator[Listening]:
    """Listen on a Unix socket in a directory of its own, that nobody but the user may enter."""
    async with ports.through(core, workspace, {"listen": "agent"}, what="a socket") as stream:
        yield await _listening(stream)


@asynccontextmanager
async def accept(core: Core, workspace: Workspace, one: Accepted) -> AsyncGenerator[ByteStream]:
    """The connection itself. Raises NotFound when it waits no longer."""
    query = {"accepted": one.id}
    async with ports.through(core, workspace, query, what="a connection") as stream:
        yield stream


async def _listening(stream: ByteStream) -> Listening:
    lines = _lines(stream)
    try:
        said = json.loads(await anext(lines))
        port, path = int(said.get("port") or 0), str(said.get("path") or "")
    except (AttributeError, StopAsyncIteration, TypeError, ValueError) as error:
        raise Unavailable("the agent does not say where it listens") from error
    return Listening(port, path, _accepted(lines))


async def _accepted(lines: AsyncIterator[bytes]) -> AsyncIterator[Accepted]:
    async for line in lines:
        try:
            said = json.loads(line)
            host, _, port = str(said.get("peer") or "").rpartition(":")
            yield Accepted(str(said["accepted"])[:64], (host.strip("[]")[:64], int(port or 0)))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Unavailable("the agent tells of a connection that is none") from error


async def _lines(stream: ByteStream) -> AsyncIterator[bytes]:
    buffer = bytearray()
    while True:
        try:
            buffer += await stream.receive(LINE_MAX)
        except anyio.EndOfStream:
            return
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise Unavailable("the connection to the agent was cut") from error
        while (end := buffer.find(b"\n")) >= 0:
            line = bytes(buffer[:end])
            del buffer[: end + 1]
            yield line
        if len(buffer) > LINE_MAX:
            raise Unavailable("the agent sends a line without an end")
