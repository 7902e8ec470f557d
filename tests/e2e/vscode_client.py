"""VS Code's side of its remote protocol, as far as the beginning of a window goes.

An upgrade to a WebSocket whose frames are skipped, as the desktop asks for; then messages with a
header of 13 bytes (kind, own number, number acknowledged, length): a handshake of control
messages, and on the management connection calls of named channels with answers.
"""

import json
import secrets
import socket
import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final, cast
from urllib.parse import urlencode

_HEADER: Final = struct.Struct(">BIII")
_MANAGEMENT: Final = 1
_CALL: Final = 100
_INITIALIZED: Final = 200
_SUCCESS: Final = 201
TIMEOUT_S: Final = 30.0


class Kind(IntEnum):
    REGULAR = 1
    CONTROL = 2
    ACK = 3
    DISCONNECT = 5
    KEEP_ALIVE = 9


class _Type(IntEnum):
    UNDEFINED = 0
    STRING = 1
    BUFFER = 2
    BINARY = 3
    ARRAY = 4
    OBJECT = 5
    INT = 6


@dataclass
class Window:
    """One window: what it knows beside its connection, so that it can come again."""

    token: str
    """The server's connection token."""
    commit: str
    reconnection: str = field(default_factory=lambda: secrets.token_hex(16))
    sent: int = 0
    received: int = 0
    _buffered: bytes = b""

    def connect(self, stream: socket.socket, *, again: bool) -> dict[str, Any]:
        """Upgrade and handshake; the server's last word of it. Raises AssertionError."""
        self._stream = stream
        self._buffered = b""
        stream.settimeout(TIMEOUT_S)
        self._upgrade(again=again)
        self._control({"type": "auth", "auth": self.token, "data": secrets.token_hex(8)})
        sign = self._controlled()
        assert sign["type"] == "sign", sign
        self._control(
            {
                "type": "connectionType",
                "commit": self.commit,
                "signedData": sign["data"],
                "desiredConnectionType": _MANAGEMENT,
            }
        )
        said = self._controlled()
        if again:
            self._send(Kind.ACK, 0, b"")
        return said

    def hello(self) -> None:
        """Open the channels of the management connection, as the renderer."""
        self._regular(_value("renderer"))
        header, _ = self._message()
        assert header == [_INITIALIZED], header

    def call(self, number: int, channel: str, method: str, argument: object) -> Any:
        """The answer of a method of the server's. Raises AssertionError for its error."""
        self._regular(_value([_CALL, number, channel, method]) + _value(argument))
        header, body = self._message()
        assert header == [_SUCCESS, number], (header, body)
        return body

    def _upgrade(self, *, again: bool) -> None:
        query = urlencode(
            {
                "reconnectionToken": self.reconnection,
                "reconnection": str(again).lower(),
                "skipWebSocketFrames": "true",
            }
        )
        key = secrets.token_urlsafe(16)
        lines = [
            f"GET ws://127.0.0.1/?{query} HTTP/1.1",
            "Host: 127.0.0.1",
            "Connection: Upgrade",
            "Upgrade: websocket",
            f"Sec-WebSocket-Key: {key}",
        ]
        self._stream.sendall("\r\n".join([*lines, "", ""]).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._read(1)
        assert head.startswith(b"HTTP/1.1 101 "), head

    def _control(self, said: dict[str, Any]) -> None:
        self._send(Kind.CONTROL, 0, json.dumps(said).encode())

    def _controlled(self) -> dict[str, Any]:
        kind, data = self._next()
        assert kind is Kind.CONTROL, (kind, data)
        return json.loads(data)

    def _regular(self, data: bytes) -> None:
        self.sent += 1
        self._send(Kind.REGULAR, self.sent, data)

    def _send(self, kind: Kind, number: int, data: bytes) -> None:
        header = _HEADER.pack(kind, number, self.received, len(data))
        self._stream.sendall(header + data)

    def _message(self) -> tuple[Any, Any]:
        """The header and the body of the next answer."""
        while True:
            kind, data = self._next()
            if kind is Kind.REGULAR:
                header, rest = _read_value(data)
                body = _read_value(rest)[0] if rest else None
                return header, body

    def _next(self) -> tuple[Kind, bytes]:
        """The next one that is new: after a reconnection the server repeats what it may have
        sent in vain."""
        while True:
            kind, number, _, length = _HEADER.unpack(self._read(_HEADER.size))
            data = self._read(length)
            if kind == Kind.REGULAR:
                if number <= self.received:
                    continue
                assert number == self.received + 1, "one is missing"
                self.received = number
            return Kind(kind), data

    def _read(self, count: int) -> bytes:
        while len(self._buffered) < count:
            more = self._stream.recv(65536)
            assert more, f"the server ended it, after {self._buffered!r}"
            self._buffered += more
        got, self._buffered = self._buffered[:count], self._buffered[count:]
        return got


def _value(what: object) -> bytes:
    match what:
        case None:
            return bytes([_Type.UNDEFINED])
        case str():
            data = what.encode()
            return bytes([_Type.STRING]) + _number(len(data)) + data
        case int():
            return bytes([_Type.INT]) + _number(what)
        case list():
            items = cast(list[object], what)
            return bytes([_Type.ARRAY]) + _number(len(items)) + b"".join(map(_value, items))
        case _:
            data = json.dumps(what).encode()
            return bytes([_Type.OBJECT]) + _number(len(data)) + data


def _number(value: int) -> bytes:
    """Seven bits in each byte, the lowest first."""
    said = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        said.append(low | (0x80 if value else 0))
        if not value:
            return bytes(said)


def _read_value(data: bytes) -> tuple[Any, bytes]:
    """A value, and what follows it."""
    kind, rest = _Type(data[0]), data[1:]
    if kind is _Type.UNDEFINED:
        return None, rest
    value, rest = _read_number(rest)
    if kind is _Type.INT:
        return value, rest
    if kind is _Type.ARRAY:
        items: list[Any] = []
        for _ in range(value):
            item, rest = _read_value(rest)
            items.append(item)
        return items, rest
    piece, rest = rest[:value], rest[value:]
    if kind is _Type.STRING:
        return piece.decode(), rest
    return (json.loads(piece) if kind is _Type.OBJECT else piece), rest


def _read_number(data: bytes) -> tuple[int, bytes]:
    value = 0
    for place, byte in enumerate(data):
        value |= (byte & 0x7F) << (7 * place)
        if not byte & 0x80:
            return value, data[place + 1 :]
    raise AssertionError("the number does not end")
