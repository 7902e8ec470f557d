"""runc (or crun): isolation `container`, by the host's kernel."""

import os
import select
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from alcove.host.runtime.execute import PATH, execute, last_error
from alcove.model.errors import DriverError, Unsupported
from alcove.model.workspace import Isolation, Resources, WorkspaceId

_RELEASE_TIMEOUT_S: Final = 5.0


class Runc:
    """runc (or crun) with a state directory of our own; implements `base.Runtime`."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._program = next(
            (p for n in ("runc", "crun") if (p := shutil.which(n, path=PATH))), None
        )

    @property
    def isolation(self) -> Isolation:
        return Isolation.CONTAINER

    @property
    def checkpoints(self) -> bool:
        return False

    @property
    def takes_listener(self) -> bool:
        return True

    def held_to(self, wanted: Resources) -> Resources:
        return wanted

    def problem(self) -> str:
        if self._program is None:
            return "no OCI runtime is installed; apt-get install runc"
        if not Path("/dev/loop-control").exists():
            return "there are no loop devices; modprobe loop"
        release = tuple(int(n) for n in os.uname().release.split("-")[0].split(".")[:2])
        if release < (5, 19):
            return (
                f"Linux {os.uname().release} cannot map the ids of overlay layers;"
                " 5.19 or later can"
            )
        return ""

    def version(self) -> str:
        return Path(self._program).name if self._program else ""

    def ids(self) -> set[WorkspaceId]:
        if not self._state.is_dir():
            return set()
        return {WorkspaceId(p.name) for p in self._state.iterdir() if p.is_dir()}

    def knows(self, workspace: WorkspaceId) -> bool:
        return (self._state / workspace).is_dir()

    def create(
        self, workspace: WorkspaceId, bundle: Path, *, listener: int | None, output: int
    ) -> int:
        """Make the container, not yet started, with `listener` as its descriptor 3; answers the
        pid of its init. Its output and the runtime's last words go to `output`."""
        pid_file = bundle / "pid"
        pid_file.unlink(missing_ok=True)
        arguments = [
            "create", "--bundle", str(bundle), "--pid-file", str(pid_file),
            "--preserve-fds", "1", workspace,
        ]  # fmt: skip
        self._call(arguments, listener=listener, output=output)
        return int(pid_file.read_text())

    def start(self, workspace: WorkspaceId) -> None:
        """Let the created container go.

        Its init waits until somebody reads from the pipe in the state directory; that, and
        removing the pipe, is all that the runtime's own `start` does, whose process would cost as
        much again as the work of `create`. Where the pipe is not as expected, that one does it."""
        pipe = self._state / workspace / "exec.fifo"
        if _released(pipe):
            pipe.unlink()
        else:
            self._call(["start", workspace])

    def restore(self, workspace: WorkspaceId, image: Path) -> None:
        raise self._unable()

    def checkpoint(self, workspace: WorkspaceId, image: Path, *, timeout_s: float) -> None:
        raise self._unable()

    def resume(self, workspace: WorkspaceId) -> None:
        raise self._unable()

    def delete(self, workspace: WorkspaceId) -> None:
        """Forget the container, killing what is left of it. For one that is not there: nothing."""
        if self.knows(workspace):
            self._call(["delete", "--force", workspace])

    def _unable(self) -> Unsupported:
        return Unsupported("isolation container cannot keep processes and memory; gvisor can")

    def _call(
        self, arguments: Sequence[str], *, listener: int | None = None, output: int | None = None
    ) -> None:
        if self._program is None:
            raise DriverError("neither runc nor crun is installed; install runc", retry=False)
        verb, workspace = arguments[0], arguments[-1]
        log = self._state.parent / f"runtime-{workspace}.log"
        command = [
            self._program, "--root", str(self._state),
            "--log", str(log), "--log-format", "json", *arguments,
        ]  # fmt: skip
        try:
            code = execute(command, listener=listener, output=output)
            if code != 0:
                said = last_error(log, code)
                raise DriverError(
                    f"the runtime's {verb} of {workspace} failed: {said}", retry=True
                )
        except TimeoutError as error:
            raise DriverError(
                f"the runtime's {verb} of {workspace} {error}", retry=True
            ) from error
        finally:
            log.unlink(missing_ok=True)


def _released(pipe: Path) -> bool:
    """Read from the pipe that a created container's init waits at; answers whether it did."""
    try:
        descriptor = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        deadline = time.monotonic() + _RELEASE_TIMEOUT_S
        while (left := deadline - time.monotonic()) > 0:
            # Before the other end is open a read gives nothing; poll then waits for it.
            poller.poll(left * 1000)
            try:
                if os.read(descriptor, 1):
                    return True
            except BlockingIOError:
                continue
            time.sleep(0.0005)
        return False
    finally:
        os.close(descriptor)
