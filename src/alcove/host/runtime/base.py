"""What the privileged process asks of a runtime: one object for each isolation tier.

Rules for implementers: every call may be repeated, has a deadline, and names what it acts on by
the workspace's id alone. `delete` always ends in nothing being left. The cgroup of the workspace
is there before `create`, and whatever the runtime starts for the workspace is in it.
"""

from pathlib import Path
from typing import Protocol

from alcove.model.workspace import Isolation, Resources, WorkspaceId


class Runtime(Protocol):
    """Makes, starts and removes the containers of one isolation tier."""

    @property
    def isolation(self) -> Isolation: ...

    @property
    def checkpoints(self) -> bool:
        """Whether `checkpoint`, `resume` and `restore` work: processes and memory can be kept.
        A runtime that cannot raises Unsupported there."""
        ...

    @property
    def takes_listener(self) -> bool:
        """Whether the agent is given its listening socket. Else it connects out, by the door of
        its workspace (see `host/doors.py`)."""
        ...

    def held_to(self, wanted: Resources) -> Resources:
        """What the cgroup has to allow so that the workspace has `wanted`. Pure."""
        ...

    def problem(self) -> str:
        """Why it cannot be used on this machine, with the remedy; empty if it can."""
        ...

    def version(self) -> str:
        """Its program's name and version; empty where there is a problem."""
        ...

    def ids(self) -> set[WorkspaceId]:
        """The workspaces of which there is a container, in whatever state."""
        ...

    def knows(self, workspace: WorkspaceId) -> bool: ...

    def create(
        self, workspace: WorkspaceId, bundle: Path, *, listener: int | None, output: int
    ) -> int:
        """Make the container of `bundle`, not yet started; answers the host's pid of its first
        process, in whose network namespace the network is then set up. `listener` becomes the
        agent's descriptor 3. What the agent and the runtime write goes to `output`, a file.
        Raises DriverError."""
        ...

    def start(self, workspace: WorkspaceId) -> None:
        """Let the created container go. Raises DriverError."""
        ...

    def restore(self, workspace: WorkspaceId, image: Path) -> None:
        """Instead of `start`: let the created container go on from `image`, a directory that
        `checkpoint` wrote, of this or another workspace. The root and the home must hold what
        they held then. Raises DriverError: `retry=False` for an image that is not whole, of which
        nothing was used then."""
        ...

    def checkpoint(self, workspace: WorkspaceId, image: Path, *, timeout_s: float) -> None:
        """Write processes and memory to `image`, an empty directory, and leave the workspace
        standing still, so that its files can be copied as they were at that moment. Then either
        `resume` or `delete` follows. Raises DriverError when it could not be done in `timeout_s`:
        the workspace runs on then, and what is in `image` is of no use."""
        ...

    def resume(self, workspace: WorkspaceId) -> None:
        """Let a workspace go on that `checkpoint` left standing still. Raises DriverError."""
        ...

    def delete(self, workspace: WorkspaceId) -> None:
        """Forget the container, killing what is left of it. For one that is not there: nothing.
        Raises DriverError."""
        ...
