"""The envelopes of Connect's streams: a flag, a length of four bytes, the message. Sans I/O."""

import json
import struct
from dataclasses import dataclass
from typing import Any, Final, cast

from alcove.http.problem import HttpError

MESSAGE_MAX: Final = 4 << 20
MEDIA_TYPE: Final = "application/connect+json"
_HEAD: Final = struct.Struct(">BI")
_LAST: Final = 0x02


@dataclass
class Boundary:
    """Follows a stream of envelopes, to know whether it is between two of them."""

    ended: bool = False
    """Whether the last one has been seen."""
    _head: bytes = b""
    _missing: int = 0

    def feed(self, data: bytes) -> None:
        while data:
            if self._missing:
                taken = min(self._missing, len(data))
                self._missing -= taken
                data = data[taken:]
                continue
            need = _HEAD.size - len(self._head)
            self._head, data = self._head + data[:need], data[need:]
            if len(self._head) == _HEAD.size:
                flags, self._missing = _HEAD.unpack(self._head)
                self.ended = bool(flags & _LAST)
                self._head = b""

    @property
    def between(self) -> bool:
        return not self._head and not self._missing


def last(code: str, message: str) -> bytes:
    """The envelope that ends a stream with an error."""
    text = json.dumps({"error": {"code": code, "message": message}}).encode()
    return _HEAD.pack(_LAST, len(text)) + text


def only(data: bytes) -> dict[str, Any]:
    """The one message of a request that opens a stream. Raises HttpError for anything else."""
    if len(data) < _HEAD.size:
        raise HttpError(400, "the body is no envelope: it is shorter than the head of one")
    flags, length = _HEAD.unpack_from(data)
    if flags:
        raise HttpError(400, f"envelope: flags {flags:#04x} are not offered; send it as it is")
    if length != len(data) - _HEAD.size:
        said = f"envelope: {length} bytes are announced and {len(data) - _HEAD.size} there"
        raise HttpError(400, said)
    try:
        message: object = json.loads(data[_HEAD.size :])
    except (ValueError, RecursionError):
        raise HttpError(400, "envelope: the message is not JSON") from None
    if not isinstance(message, dict):
        raise HttpError(400, "envelope: the message is no object")
    return cast("dict[str, Any]", message)
