"""A WebSocket that carries bytes between two descriptors and this program does nothing else.

`ssh` starts `alcove ssh --stdio` for each connection and waits for it: the library that the other
WebSockets use takes longer to load than the rest of the start. Here is the client's half of
RFC 6455 that a stream needs, with the standard library alone. One thread and one loop, because a
TLS connection must not be read and written at the same moment by two. Nothing is read that
cannot be passed on: whoever is slow slows the other side down.
"""

import os
import select
import socket
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha1
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from alcove.sdk.errors import AlcoveError, Unavailable, from_problem

if TYPE_CHECKING:
    import ssl

CONNECT_TIMEOUT_S: Final = 10.0
CHUNK: Final = 64 * 1024
HEAD_MAX: Final = 64 * 1024
TEXT_MAX: Final = 64 * 1024
LAST_WORDS_S: Final = 2.0
DRAIN_S: Final = 10.0
"""How long the far side may be silent once our direction has ended."""
OUTWARD_MAX: Final = 1024 * 1024
_ACCEPT: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUED, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_EIGHT_BYTES: Final = 127
_TWO_BYTES: Final = 126


@dataclass(slots=True)
class RawSocket:
    """An open connection after the upgrade. `headers` are those of the answer, in lower case."""

    connection: socket.socket
    url: str
    headers: Mapping[str, str]
    early: bytes = b""
    """What came right behind the answer."""


def open_raw(url: str, *, token: str, user_agent: str, proxy: str | None) -> RawSocket:
    """Connect to `http(s)://…`, and upgrade. Raises the problem that the server answers with, and
    Unavailable."""
    try:
        connection = _connected(url, proxy)
    except OSError as error:
        raise Unavailable(f"cannot reach {_site(url)}: {error.strerror or error}") from error
    try:
        connection.settimeout(CONNECT_TIMEOUT_S)
        return _upgraded(connection, url, token=token, user_agent=user_agent)
    except OSError as error:
        connection.close()
        raise Unavailable(f"lost the connection to {_site(url)}: {error}") from error
    except BaseException:
        connection.close()
        raise


def carry(raw: RawSocket, source: int, target: int) -> None:
    """Pass bytes both ways until the far side ends. The end of `source` ends our direction; what
    the far side still has to say is passed on. Raises AlcoveError for a refusal, and Unavailable
    for a connection that is lost."""
    before = {fd: os.get_blocking(fd) for fd in (source, target)}
    raw.connection.settimeout(0)
    for fd in before:
        os.set_blocking(fd, False)
    try:
        _Carrier(raw, source, target).run()
    finally:
        for fd, blocking in before.items():
            os.set_blocking(fd, blocking)
        raw.connection.close()


@dataclass(slots=True)
class _Incoming:
    """The frame that is being read."""

    opcode: int = _BINARY
    left: int = 0
    control: bytearray = field(default_factory=bytearray)


class _Carrier:
    def __init__(self, raw: RawSocket, source: int, target: int) -> None:
        self._raw = raw
        self._socket = raw.connection
        self._source: int | None = source
        self._target = target
        self._unread = bytearray(raw.early)
        """From the far side, not yet taken apart."""
        self._outward = bytearray()
        """To the far side."""
        self._inward = bytearray()
        """To `target`."""
        self._frame = _Incoming()
        self._over = False
        self._wants_write = False
        """TLS has to write before it can read on."""

    def run(self) -> None:
        self._take_apart()
        while not (self._over and not self._inward):
            # TLS may hold what the kernel no longer has: then there is nothing to wait for.
            held = not self._inward and not self._over and self._pending()
            silence = DRAIN_S if self._source is None else None
            readable, writable = self._wait(0.0 if held else silence)
            if not readable and not writable and not held:
                break
            if self._target in writable:
                self._write_target()
            if self._socket in writable:
                self._write_socket()
            if not self._inward and not self._over and (held or self._socket in readable):
                self._read_socket()
            if self._source is not None and self._source in readable:
                self._read_source()
        self._say_goodbye()

    def _wait(self, timeout: float | None) -> "tuple[list[object], list[object]]":
        reading: list[int | socket.socket] = []
        writing: list[int | socket.socket] = []
        if not self._inward and not self._over:
            reading.append(self._socket)
        if self._source is not None and not self._outward:
            reading.append(self._source)
        if self._inward:
            writing.append(self._target)
        if self._outward or self._wants_write:
            writing.append(self._socket)
        readable, writable, _ = select.select(reading, writing, [], timeout)
        return list(readable), list(writable)

    def _pending(self) -> bool:
        pending = getattr(self._socket, "pending", None)
        return bool(pending is not None and pending())

    def _read_source(self) -> None:
        assert self._source is not None
        try:
            data = os.read(self._source, CHUNK)
        except BlockingIOError:
            return
        if data:
            self._send(_BINARY, data)
        else:
            # As with ports: an empty message ends this direction and leaves the other one open.
            self._source = None
            self._send(_BINARY, b"")

    def _send(self, opcode: int, payload: bytes) -> None:
        self._outward += frame(opcode, payload, os.urandom(4))
        self._write_socket()

    def _write_socket(self) -> None:
        self._wants_write = False
        if not self._outward:
            return
        try:
            sent = self._socket.send(self._outward)
        except OSError as error:
            if not _has_to_wait(error):
                # Whatever the far side said last is still to be read; the read tells the rest.
                self._outward.clear()
                self._source = None
            return
        del self._outward[:sent]

    def _read_socket(self) -> None:
        try:
            data = self._socket.recv(4 * CHUNK)
        except OSError as error:
            if not _has_to_wait(error):
                raise Unavailable(f"lost the connection to {_site(self._raw.url)}") from error
            self._wants_write = type(error).__name__ == "SSLWantWriteError"
            return
        if not data:
            if self._source is None:
                self._over = True
                return
            raise Unavailable(f"{_site(self._raw.url)} closed the connection")
        self._unread += data
        self._take_apart()

    def _take_apart(self) -> None:
        """Payloads of binary messages go to the target, wherever messages begin and end."""
        while self._unread and not self._over:
            frame = self._frame
            if not frame.left and not self._begin_frame():
                return
            piece = self._unread[: frame.left]
            del self._unread[: len(piece)]
            frame.left -= len(piece)
            if frame.opcode in {_BINARY, _CONTINUED}:
                self._inward += piece
            else:
                frame.control += piece
            if not frame.left:
                self._end_frame(frame)
        self._write_target()

    def _begin_frame(self) -> bool:
        """Whether the head of the next frame was there whole."""
        head = head_of(self._unread)
        if head is None:
            return False
        opcode, size, length = head
        if opcode not in {_CONTINUED, _BINARY} and length > TEXT_MAX:
            raise Unavailable(f"{_site(self._raw.url)} sent a message that is too long")
        del self._unread[:size]
        self._frame.opcode, self._frame.left = opcode, length
        self._frame.control.clear()
        if not length:
            self._end_frame(self._frame)
        return True

    def _end_frame(self, frame: _Incoming) -> None:
        match frame.opcode:
            case 8:
                self._over = True
            case 9 if len(self._outward) < OUTWARD_MAX:
                self._send(_PONG, bytes(frame.control))
            case 1:
                raise _problem(500, bytes(frame.control))
            case _:
                pass

    def _write_target(self) -> None:
        if not self._inward:
            return
        try:
            written = os.write(self._target, self._inward)
        except BlockingIOError:
            return
        except OSError:
            # Nobody reads any more, so there is nothing left to do here.
            self._inward.clear()
            self._over = True
            return
        del self._inward[:written]

    def _say_goodbye(self) -> None:
        """An orderly end, if that can be had at once."""
        try:
            self._socket.settimeout(LAST_WORDS_S)
            if self._source is not None:
                self._outward += frame(_CLOSE, (1000).to_bytes(2, "big"), os.urandom(4))
            self._socket.sendall(self._outward)
        except OSError:
            return


def frame(opcode: int, payload: bytes, mask: bytes) -> bytes:
    """A whole message, masked as a client's has to be (RFC 6455, 5.3)."""
    size = len(payload)
    if size < _TWO_BYTES:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 1 << 16:
        head = bytes((0x80 | opcode, 0x80 | _TWO_BYTES)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0x80 | _EIGHT_BYTES)) + size.to_bytes(8, "big")
    # As two large numbers: the only way that is quick without a library.
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "little")
    return head + mask + (int.from_bytes(payload, "little") ^ key).to_bytes(size, "little")


def head_of(data: bytes | bytearray) -> tuple[int, int, int] | None:
    """Opcode, size of the head, length of the payload; None when more has to come first."""
    if len(data) < 2:
        return None
    opcode, length = data[0] & 0x0F, data[1] & 0x7F
    if data[1] & 0x80 or data[0] & 0x70:
        raise Unavailable("the server's answer is not that of a WebSocket server")
    size = {_TWO_BYTES: 4, _EIGHT_BYTES: 10}.get(length, 2)
    if len(data) < size:
        return None
    return opcode, size, int.from_bytes(data[2:size], "big") if size > 2 else length


def _connected(url: str, proxy: str | None) -> socket.socket:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    where = (parts.hostname or "", parts.port or (443 if secure else 80))
    if proxy is None:
        connection = socket.create_connection(where, CONNECT_TIMEOUT_S)
    else:
        connection = _through(proxy, where)
    try:
        # Keys that somebody types are not to wait for more of them.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if secure:
            connection = _tls().wrap_socket(connection, server_hostname=where[0])
    except BaseException:
        connection.close()
        raise
    return connection


def _tls() -> "ssl.SSLContext":
    from alcove.sdk.trust import trusted  # noqa: PLC0415 - by need

    return trusted()


def _through(proxy: str, where: tuple[str, int]) -> socket.socket:
    """A tunnel of an HTTP proxy."""
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if parts.scheme != "http" or not parts.hostname:
        raise AlcoveError("the proxy that the environment names is not http://…; use one that is")
    connection = socket.create_connection((parts.hostname, parts.port or 80), CONNECT_TIMEOUT_S)
    host = f"[{where[0]}]" if ":" in where[0] else where[0]
    lines = [f"CONNECT {host}:{where[1]} HTTP/1.1", f"Host: {host}:{where[1]}"]
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        lines.append(f"Proxy-Authorization: Basic {b64encode(user.encode()).decode()}")
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    status, _, _ = _answer(connection)
    if status != 200:
        connection.close()
        raise Unavailable(f"the proxy {parts.hostname} answers {status}")
    return connection


def _upgraded(connection: socket.socket, url: str, *, token: str, user_agent: str) -> RawSocket:
    parts = urlsplit(url)
    key = b64encode(os.urandom(16)).decode()
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    lines = [
        f"GET {target} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
        f"Authorization: Bearer {token}",
        f"User-Agent: {user_agent}",
    ]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    status, headers, rest = _answer(connection)
    if status != 101:
        size = headers.get("content-length", "0")
        wanted = min(int(size) if size.isdecimal() else 0, TEXT_MAX)
        while len(rest) < wanted and (more := connection.recv(CHUNK)):
            rest += more
        raise _problem(status, rest)
    expected = b64encode(sha1((key + _ACCEPT).encode(), usedforsecurity=False).digest()).decode()
    if headers.get("sec-websocket-accept") != expected:
        raise Unavailable(f"{_site(url)} is no WebSocket server")
    return RawSocket(connection, url, headers, rest)


def _answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and what came behind them."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(CHUNK)
        if not more or len(data) > HEAD_MAX:
            raise Unavailable("the answer is not one of an HTTP server")
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdecimal():
        raise Unavailable("the answer is not one of an HTTP server")
    pairs = (line.partition(":") for line in lines)
    return int(words[1]), {name.strip().lower(): text.strip() for name, _, text in pairs}, rest


def _problem(status: int, content: bytes) -> AlcoveError:
    import json  # noqa: PLC0415 - by need

    try:
        body: object = json.loads(content)
    except ValueError:
        body = None
    return from_problem(status, body)


def _has_to_wait(error: OSError) -> bool:
    return isinstance(error, BlockingIOError) or type(error).__name__ in {
        "SSLWantReadError",
        "SSLWantWriteError",
    }


def _site(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
