"""runsc: isolation `gvisor`, a kernel of its own in user space for each workspace.

It is started inside the workspace's cgroup, so that all it ever starts is held to the limits;
runsc itself is told to leave cgroups alone. One rule: the flags are here, all of them, and are the
same for every call of one boot.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from alcove.host.bundle import NETWORK_NOTE
from alcove.host.cgroups import Cgroups
from alcove.host.doors import Doors, new_proof
from alcove.host.runtime.execute import CALL_TIMEOUT_S, PATH, execute, last_error
from alcove.host.runtime.notes import forget, is_paused, mend, noted
from alcove.host.runtime.process import reap
from alcove.host.runtime.sentry import call_off
from alcove.host.syscalls import unmount
from alcove.model.errors import DriverError, Unsupported
from alcove.model.workspace import Isolation, NetworkMode, Resources, WorkspaceId

OLDEST: Final = 20260801
"""Releases are dates; before this one a paused sandbox could not be checkpointed and go on."""
REMEDY: Final = "run `alcove up`, which makes it ready, or install it; see `alcove doctor`"
_PAUSE_TIMEOUT_S: Final = 10.0
"""Tasks stop within milliseconds, but for those that wait for the host."""
_OWN_MEMORY_MIB: Final = 96
"""Of the kernel in user space and its helper, beside the workspace's own."""
_OWN_PIDS: Final = 256
"""Threads of theirs."""
_RELEASE: Final = re.compile(r"release-(\d{8})")
_STATE: Final = re.compile(r"(ws-[a-z2-7]{16})_sandbox")
_PROOF: Final = "proof"
AGENT_NAME: Final = "agent"
"""File with the name of the layer that the agent is in, in a bundle and in an image."""
_JOIN: Final = 'for f in $1; do echo $$ > "$f" || exit 125; done; shift; exec "$@"'
"""A shell enters the cgroup and becomes runsc, so that no instant is outside of it."""


class Runsc:
    """Implements `base.Runtime` with `program`, or the newest that was made ready in `tools`."""

    def __init__(self, state: Path, tools: Path, *, cgroups: Cgroups, doors: Doors) -> None:
        self._state = state
        self._tools = tools
        self._cgroups = cgroups
        self._doors = doors
        self._found: tuple[str, str] | None = None
        self._called_off: dict[WorkspaceId, ExitStack] = {}

    @property
    def isolation(self) -> Isolation:
        return Isolation.GVISOR

    @property
    def checkpoints(self) -> bool:
        return True

    @property
    def takes_listener(self) -> bool:
        return False

    def held_to(self, wanted: Resources) -> Resources:
        return replace(
            wanted, memory_mib=wanted.memory_mib + _OWN_MEMORY_MIB, pids=wanted.pids + _OWN_PIDS
        )

    def problem(self) -> str:
        if self._program() is None:
            return f"runsc is not installed, or too old (before release-{OLDEST}); {REMEDY}"
        return ""

    def version(self) -> str:
        found = self._program()
        return f"runsc {found[1]}" if found else ""

    def ids(self) -> set[WorkspaceId]:
        if not self._state.is_dir():
            return set()
        found = (_STATE.match(p.name) for p in self._state.iterdir())
        return {WorkspaceId(m[1]) for m in found if m}

    def knows(self, workspace: WorkspaceId) -> bool:
        return workspace in self.ids()

    def create(
        self, workspace: WorkspaceId, bundle: Path, *, listener: int | None, output: int
    ) -> int:
        proof = new_proof()
        self._keep_proof(bundle, proof)
        pid_file = bundle / "pid"
        pid_file.unlink(missing_ok=True)
        procs = [str(d / "cgroup.procs") for d in self._cgroups.directories(workspace)]
        command = ["/bin/sh", "-c", _JOIN, "sh", " ".join(procs)]
        arguments = ["create", "--bundle", str(bundle), "--pid-file", str(pid_file), workspace]
        self._call(workspace, arguments, before=command, output=output, said=proof.encode())
        return int(pid_file.read_text())

    def start(self, workspace: WorkspaceId) -> None:
        self._call(workspace, ["start", workspace])

    def restore(self, workspace: WorkspaceId, image: Path) -> None:
        # The agent that comes back shows what it was given when it was first started.
        self._keep_proof(self._bundle(workspace), (image / _PROOF).read_text())
        arguments = ["restore", "--detach", "--background", "--image-path", str(image), workspace]
        self._call(workspace, arguments)

    def checkpoint(self, workspace: WorkspaceId, image: Path, *, timeout_s: float) -> None:
        self._pause(workspace, timeout_s=min(timeout_s, _PAUSE_TIMEOUT_S))
        try:
            self._doors.renew(workspace)
            arguments = [
                "checkpoint", "--image-path", str(image), "--leave-running",
                "--compression=none", "--exclude-committed-zero-pages", workspace,
            ]  # fmt: skip
            self._call(workspace, arguments, timeout_s=timeout_s)
            for name in (_PROOF, AGENT_NAME):
                (image / name).write_bytes((self._bundle(workspace) / name).read_bytes())
        except BaseException:
            self.resume(workspace)
            raise
        finally:
            self._doors.drain(workspace)

    def _pause(self, workspace: WorkspaceId, *, timeout_s: float) -> None:
        """Raises DriverError; it runs on then, also where it was paused before."""

        def overdue(pid: int) -> None:
            if (kept := call_off(self._state, workspace, pausing=pid)) is not None:
                self._called_off.setdefault(workspace, ExitStack()).callback(kept.close)

        before = noted(self._state, workspace)
        try:
            arguments = ["pause", workspace]
            self._call(workspace, arguments, timeout_s=timeout_s, overdue=overdue)
        except BaseException:
            mend(self._state, workspace, before, status="paused")
            if is_paused(self._state, workspace):
                with suppress(DriverError):
                    self.resume(workspace)
            raise
        self._let_go_of(workspace)

    def resume(self, workspace: WorkspaceId) -> None:
        before = noted(self._state, workspace)
        try:
            self._call(workspace, ["resume", workspace])
        finally:
            mend(self._state, workspace, before, status="running")

    def delete(self, workspace: WorkspaceId) -> None:
        self._doors.close(workspace)
        self._let_go_of(workspace)
        if self.knows(workspace):
            try:
                self._call(workspace, ["delete", "--force", workspace])
            except DriverError:
                if noted(self._state, workspace) is not None:
                    raise
                forget(self._state, workspace)
            reap(workspace)  # the sentry was asked how it ended; nobody asks its helpers

    def tear_down(self) -> None:
        """Let go of the empty network namespace that runsc keeps for its helpers, which is
        mounted in its state: more than once when two workspaces were the first at the same
        moment. Raises OSError."""
        kept = self._state / "null-netns"
        while os.path.ismount(kept):  # of a file, which `Path.is_mount` never calls one
            unmount(kept)
        kept.unlink(missing_ok=True)

    def _let_go_of(self, workspace: WorkspaceId) -> None:
        """Of connections on which its kernel has nothing to read any more."""
        self._called_off.pop(workspace, ExitStack()).close()

    def proof(self, workspace: WorkspaceId) -> str:
        """What the agent of that workspace shows on each connection. Raises DriverError."""
        try:
            return (self._bundle(workspace) / _PROOF).read_text()
        except OSError as error:
            raise DriverError(f"the agent of {workspace} does not answer", retry=True) from error

    def _bundle(self, workspace: WorkspaceId) -> Path:
        return self._state.parent / "workspaces" / workspace

    def _keep_proof(self, bundle: Path, proof: str) -> None:
        path = bundle / _PROOF
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(proof)

    def _network(self, workspace: WorkspaceId) -> str:
        """With `none` there is the loopback and nothing else; with `sandbox` what is found in the
        network namespace when the workspace starts."""
        try:
            config = json.loads((self._bundle(workspace) / "config.json").read_text())
        except OSError:
            return "none"
        mode = config.get("annotations", {}).get(NETWORK_NOTE)
        return "sandbox" if mode == NetworkMode.OPEN else "none"

    def _program(self) -> tuple[str, str] | None:
        """Path and release; looked for again until there is one, so that one that is made ready
        while we run is found."""
        if self._found is None:
            self._found = find_runsc(self._tools)
        return self._found

    def _call(
        self,
        workspace: WorkspaceId,
        arguments: Sequence[str],
        *,
        before: Sequence[str] = (),
        output: int | None = None,
        said: bytes | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
        overdue: Callable[[int], None] | None = None,
    ) -> None:
        found = self._program()
        if found is None:
            raise Unsupported(f"isolation gvisor: {self.problem()}")
        log = self._state.parent / f"runtime-{workspace}.log"
        command = [
            *before, found[0], "--root", str(self._state), "--log", str(log), "--log-format=json",
            "--platform=systrap", "--ignore-cgroups", f"--network={self._network(workspace)}",
            "--overlay2=none", "--host-uds=open", "--allow-suid",
            "--restore-spec-validation=warning", *arguments,
        ]  # fmt: skip
        try:
            code = execute(
                command, output=output, stdin=said, timeout_s=timeout_s, overdue=overdue
            )
            if code != 0:
                why = last_error(log, code)
                raise DriverError(f"runsc {arguments[0]} of {workspace} failed: {why}", retry=True)
        except TimeoutError as error:
            raise DriverError(
                f"runsc {arguments[0]} of {workspace} {error}", retry=True
            ) from error
        finally:
            log.unlink(missing_ok=True)


def find_runsc(tools: Path) -> tuple[str, str] | None:
    """The path and release of the one on PATH if it is new enough, else of ours in `tools`."""
    for path in (shutil.which("runsc", path=PATH), str(tools / "runsc")):
        if path and os.access(path, os.X_OK) and (release := release_of(Path(path))) >= OLDEST:
            return path, f"release-{release}"
    return None


def release_of(program: Path) -> int:
    """The date of a runsc's release, as a number; 0 if it does not tell."""
    try:
        done = subprocess.run(
            [str(program), "--version"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            env={"PATH": PATH},
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = _RELEASE.search(done.stdout)
    return int(found[1]) if found else 0
