"""Commands within the envd protocol: what passes is looked at, and told of when it is over.

Bytes go through as they came. A message that cannot be read is nobody's output; one that is too
large ends the looking, not the stream.
"""

import base64
import binascii
import json
import struct
import time
from collections.abc import Sequence
from typing import Final

import anyio

from alcove.api.compat.e2b.envelopes import MESSAGE_MAX
from alcove.core import envd, exec_outputs
from alcove.core.app import Core
from alcove.core.envd import Entry
from alcove.core.exec_outputs import Ran

_HEAD: Final = struct.Struct(">BI")


class Watch:
    """Of the stream of one process without a terminal, from its start."""

    def __init__(self, core: Core, entry: Entry, command: Sequence[str]) -> None:
        self._core, self._entry, self._command = core, entry, command
        self._kept = exec_outputs.keeping(core)
        self._began = time.monotonic()
        self._held = bytearray()
        self._started = self._lost = False
        self._exit_code: int | None = None

    def feed(self, piece: bytes) -> None:
        """The next bytes of the answer."""
        if self._lost:
            return
        self._held += piece
        at = 0
        while len(self._held) - at >= _HEAD.size:
            flags, length = _HEAD.unpack_from(self._held, at)
            if length > MESSAGE_MAX:
                self._lost = True
                self._held.clear()
                return
            end = at + _HEAD.size + length
            if end > len(self._held):
                break
            if not flags:
                self._look(bytes(self._held[at + _HEAD.size : end]))
            at = end
        del self._held[:at]

    async def end(self) -> None:
        """Tell of it, unless it never began."""
        if not self._started:
            return
        took_ms = (time.monotonic() - self._began) * 1000
        ran = Ran(self._command, self._exit_code, took_ms, self._core.clock())
        with anyio.CancelScope(shield=True):
            await envd.tell_of_end(self._core, self._entry, ran, self._kept)

    def _look(self, message: bytes) -> None:
        try:
            said: object = json.loads(message)
            match said:
                case {"event": {"start": {}}}:
                    self._started = True
                case {"event": {"data": {"stdout": str() as text}}} if self._kept is not None:
                    self._kept.stdout.add(base64.b64decode(text, validate=True))
                case {"event": {"data": {"stderr": str() as text}}} if self._kept is not None:
                    self._kept.stderr.add(base64.b64decode(text, validate=True))
                case {"event": {"end": {"exitCode": int() as code}}}:
                    self._exit_code = code
                case _:
                    pass
        except (ValueError, RecursionError, binascii.Error):
            return
