"""`server/admin.sock`: how root on the server's machine gets in, before there is any password.

Two requests and nothing else: a sign-in link, and a token, both of the first owner. Who may ask
is decided by the kernel: the socket's mode, and the peer's uid, which must be root's or the
server's own. HTTP, so that ten lines of any language speak it.
"""

import json
import os
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import anyio
import anyio.abc
import h11
import structlog
from anyio.abc import SocketAttribute

from alcove.core import sign_in, tokens, users
from alcove.core.app import Core
from alcove.model.errors import AlcoveError

BODY_MAX: Final = 4096
PATIENCE_S: Final = 10.0
AT_ONCE: Final = 8
NAME_MAX: Final = 64
_UCRED: Final = struct.Struct("3i")
_log = structlog.get_logger("alcove.local")


async def serve(core: Core, path: Path) -> None:
    """Listen until cancelled. A socket that a killed server left behind is replaced."""
    await anyio.Path(path).unlink(missing_ok=True)
    mask = os.umask(0o177)
    try:
        listener = await anyio.create_unix_listener(path, mode=0o600)
    finally:
        os.umask(mask)
    limiter = anyio.CapacityLimiter(AT_ONCE)

    async def one(stream: anyio.abc.SocketStream) -> None:
        async with stream, limiter:
            with anyio.move_on_after(PATIENCE_S):
                await _converse(core, stream)

    async with listener:
        await listener.serve(one)


async def _converse(core: Core, stream: anyio.abc.SocketStream) -> None:
    uid = _peer_uid(stream)
    try:
        method, target, body = await _read(stream)
    except (h11.RemoteProtocolError, anyio.EndOfStream, anyio.BrokenResourceError):
        return
    if uid not in {0, os.geteuid()}:
        _log.warning("refused", uid=uid)
        status, answer = 403, {"detail": "only root and the server's own user may ask"}
    elif method != "POST":
        status, answer = 405, {"detail": "send a POST"}
    else:
        status, answer = await _answered(core, target, body)
    await _write(stream, status, answer)


async def _answered(core: Core, target: str, body: bytes) -> tuple[int, Mapping[str, object]]:
    try:
        asked = json.loads(body or b"{}")
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        return 400, {"detail": "send a JSON object"}
    name = str(asked.get("name") or "local")[:NAME_MAX]  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    try:
        match target:
            case "/sign-in-link":
                return 200, await _sign_in_link(core)
            case "/token":
                return 200, await _token(core, name)
            case _:
                return 404, {"detail": "there are /sign-in-link and /token"}
    except AlcoveError as error:
        return 409, {"detail": str(error), "code": error.code}


async def _sign_in_link(core: Core) -> Mapping[str, object]:
    owner = await users.ensure_first(core)
    secret, expires_at = await sign_in.new_link(core, None, owner.name)
    return {"url": sign_in.link_url(core, secret), "expires_at": expires_at.isoformat()}


async def _token(core: Core, name: str) -> Mapping[str, object]:
    owner = await users.ensure_first(core)
    token, secret = await tokens.create_for_owner(core, owner, name=name)
    return {"id": token.id, "token": secret.text}


async def _read(stream: anyio.abc.SocketStream) -> tuple[str, str, bytes]:
    """One request; bounded. Raises RemoteProtocolError for what is none."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=BODY_MAX)
    method, target, body = "", "", b""
    while True:
        event = connection.next_event()
        match event:
            case h11.Request():
                method, target = event.method.decode("ascii"), event.target.decode("ascii")
            case h11.Data():
                body += event.data
                if len(body) > BODY_MAX:
                    raise h11.RemoteProtocolError("the body is too large")
            case h11.EndOfMessage():
                return method, target, body
            case _:
                connection.receive_data(await stream.receive(BODY_MAX))


async def _write(
    stream: anyio.abc.SocketStream, status: int, answer: Mapping[str, object]
) -> None:
    body = json.dumps(dict(answer)).encode()
    head = (
        f"HTTP/1.1 {status} {'OK' if status == 200 else 'Refused'}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    try:
        await stream.send(head.encode() + body)
    except anyio.BrokenResourceError:
        return


def _peer_uid(stream: anyio.abc.SocketStream) -> int:
    raw = stream.extra(SocketAttribute.raw_socket)
    said = raw.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return int(_UCRED.unpack(said)[1])
