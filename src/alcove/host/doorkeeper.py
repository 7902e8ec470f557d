"""Hands the server the listening sockets of doors: `run/doors.sock`.

A request is a workspace id and a newline; the answer is one line of JSON, `{"proof"}` with the
socket beside it, or `{"error"}`. One rule: only the server and root are answered.
"""

import json
import logging
import socket
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from alcove.host.peers import listen, peer_uid
from alcove.host.state import WORKSPACE_ID
from alcove.model.errors import AlcoveError
from alcove.model.workspace import WorkspaceId

log: Final = logging.getLogger(__name__)
SOCKET: Final = "doors.sock"
_REQUEST_MAX: Final = 32
_TIMEOUT_S: Final = 5.0

Hand = Callable[[WorkspaceId], tuple[socket.socket, str]]


class Doorkeeper:
    """Answers at `run_dir` until `stop`; `hand` gives a door's socket and the proof to expect."""

    def __init__(self, run_dir: Path, hand: Hand, *, uids: Collection[int], gid: int) -> None:
        self._hand = hand
        self._uids = frozenset(uids)
        self._listener = listen(run_dir / SOCKET, gid)
        self._thread = threading.Thread(target=self._serve, name="doorkeeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        finally:
            self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            try:
                with connection:
                    connection.settimeout(_TIMEOUT_S)
                    if peer_uid(connection) in self._uids:
                        self._answer(connection)
            except OSError as error:
                log.info("a request for a door ended: %s", error)

    def _answer(self, connection: socket.socket) -> None:
        asked = connection.recv(_REQUEST_MAX).decode(errors="replace").strip()
        if not WORKSPACE_ID.fullmatch(asked):
            return
        try:
            listener, proof = self._hand(WorkspaceId(asked))
        except (AlcoveError, OSError) as error:
            connection.sendall(json.dumps({"error": str(error)}).encode() + b"\n")
            return
        with listener:
            line = json.dumps({"proof": proof}).encode() + b"\n"
            socket.send_fds(connection, [line], [listener.fileno()])
