"""The socket of the privileged process: who may speak, and one answer for each request.

One thread per connection, bounded; the verbs block in system calls and short programs. One rule:
whatever comes in, the process answers an error or closes that connection, and goes on.
"""

import logging
import socket
import threading
from typing import Any, Final

from pydantic import TypeAdapter

from alcove.host import protocol
from alcove.host.host import Host
from alcove.host.peers import listen, peer_uid
from alcove.host.settings import HostSettings
from alcove.model.errors import AlcoveError, DriverError

log: Final = logging.getLogger(__name__)
_CONNECTIONS_MAX: Final = 64
_FRAME_TIMEOUT_S: Final = 10.0
_STOP_SEEN_S: Final = 0.5


class Daemon:
    """Serves `host` at `run/host.sock` until `stop`."""

    def __init__(
        self, settings: HostSettings, host: Host, *, server_uid: int, socket_gid: int
    ) -> None:
        self._instance = settings.instance
        self._host = host
        self._allowed_uids = {0, server_uid}
        self._places = threading.BoundedSemaphore(_CONNECTIONS_MAX)
        self._stopping = threading.Event()
        path = settings.data_dir / "run" / "host.sock"
        self._listener = listen(path, socket_gid, backlog=_CONNECTIONS_MAX)

    def serve(self) -> None:
        while not self._stopping.is_set():
            # A place first: when all are taken, the next client waits in the backlog.
            if not self._places.acquire(timeout=_STOP_SEEN_S):
                continue
            try:
                connection, _ = self._listener.accept()
            except OSError:
                self._places.release()
                if self._stopping.is_set():
                    return
                log.exception("accept failed")
                self._stopping.wait(0.1)
                continue
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def stop(self) -> None:
        """Stop taking connections; verbs under way are repeated by whoever asked."""
        self._stopping.set()
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        finally:
            self._listener.close()

    def _converse(self, connection: socket.socket) -> None:
        try:
            with connection:
                if peer_uid(connection) in self._allowed_uids:
                    self._answer_all(connection)
        except (OSError, protocol.Malformed) as error:
            log.info("a connection ended: %s", error)
        except Exception:
            log.exception("a connection failed")
        finally:
            self._places.release()

    def _answer_all(self, connection: socket.socket) -> None:
        while True:
            connection.settimeout(None)
            connection.recv(1, socket.MSG_PEEK)  # idle for as long as the client likes
            connection.settimeout(_FRAME_TIMEOUT_S)
            body = protocol.receive(connection)
            if body is None:
                return
            connection.sendall(self._answer(body))

    def _answer(self, body: bytes) -> bytes:
        try:
            request = protocol.read_request(body)
            value, adapter = self._act(request)
            return protocol.write_answer(value, adapter)
        except AlcoveError as error:
            return protocol.write_error(error)
        except OSError as error:
            return protocol.write_error(DriverError(str(error), retry=True))
        except Exception as error:
            log.exception("a request failed")
            said = f"the host process failed: {type(error).__name__}; see its log"
            return protocol.write_error(DriverError(said, retry=False))

    def _act(self, request: protocol.Request) -> tuple[Any, TypeAdapter[Any]]:
        host = self._host
        match request:
            case protocol.Hello():
                return protocol.Welcome(protocol.VERSION, self._instance), protocol.WELCOME
            case protocol.GetCapabilities():
                return host.capabilities(), protocol.CAPABILITIES
            case protocol.Observe(workspace):
                return host.observe(workspace), protocol.LOOK
            case protocol.Create(workspace, spec, control) | protocol.Start(
                workspace, spec, control
            ):
                return host.up(request.verb, workspace, spec, control), protocol.STARTED
            case protocol.Approve(workspace, boot):
                return host.approve(workspace, boot), protocol.NOTHING
            case protocol.Stop(workspace, grace_s):
                return host.stop(workspace, grace_s=grace_s), protocol.NOTHING
            case protocol.Destroy(workspace):
                return host.destroy(workspace), protocol.REMOVAL
            case protocol.Adopt(workspace, spec):
                return host.adopt(workspace, spec), protocol.NOTHING
            case protocol.Pause(workspace):
                return host.pause(workspace), protocol.NOTHING
            case protocol.Resume(workspace):
                return host.resume(workspace), protocol.NOTHING
            case protocol.TakeSnapshot(workspace, snapshot):
                return host.take_snapshot(workspace, snapshot), protocol.TAKEN
            case protocol.GetSnapshots():
                return host.snapshots(), protocol.TAKENS
            case protocol.DropSnapshot(snapshot):
                return host.drop_snapshot(snapshot), protocol.NOTHING
            case protocol.GetUsage(workspaces):
                return host.usage(workspaces), protocol.USAGES
            case protocol.GetInventory():
                return host.inventory(), protocol.LEFTOVERS
            case protocol.Pin(reference):
                return host.pin(reference), protocol.PINNED
            case protocol.PrepareImage(image):
                return host.prepare_image(image), protocol.IMAGE_STATUS
            case protocol.GetImages():
                return host.images(), protocol.IMAGE_STATUSES
            case protocol.CollectImages(keep):
                return host.collect_images(keep), protocol.KEYS
            case protocol.ImageLog(key):
                return host.image_log(key), protocol.TEXT
