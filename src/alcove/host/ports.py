"""What the daemon needs of images and of the network, as two protocols.

They keep the three parts of the privileged process apart: `images/` knows nothing of runtimes,
`network/` nothing of images. Everything here is synchronous, called from threads, and thread-safe.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from alcove.drivers.base import ImageStatus
from alcove.model.image import Image
from alcove.model.workspace import WorkspaceId


class Images(Protocol):
    """Root file systems, unpacked once, read-only when ready."""

    def layers(self, image: Image) -> list[Path]:
        """Directories for overlayfs, bottom first, owned by the ids of the image (0..65535),
        with native whiteouts. Raises DriverError unless the image is ready."""
        ...

    def status(self, image: Image) -> ImageStatus: ...

    def prepare(self, image: Image, *, awaited: bool = False) -> ImageStatus:
        """Start making it ready unless it is or is under way; answers at once. A failed one is
        tried again when its backoff is over. One that a workspace waits for goes first."""
        ...

    def statuses(self) -> list[ImageStatus]: ...

    def collect(self, keep: Sequence[str], in_use: Sequence[str]) -> list[str]:
        """Remove the ready images whose keys are in neither; answers the keys removed."""
        ...

    def pin(self, reference: str) -> tuple[str, str]:
        """`registry/name[:tag]` → (name without tag, `sha256:…`). Raises DriverError."""
        ...

    def image_env(self, image: Image) -> dict[str, str]:
        """The environment that the image asks for; empty for images built here."""
        ...

    def log(self, key: str) -> str:
        """The end of the build log, for people; empty if there is none."""
        ...


class Network(Protocol):
    """Mode `open`: outbound only, guarded outside the workspace's own network namespace."""

    def setup(self) -> None:
        """Make the host's side (rules, gateway, name forwarder) true; may be repeated, keeps the
        workspaces attached before. Raises DriverError if the guard cannot be set up."""
        ...

    def teardown(self) -> None:
        """Remove everything of ours and restore what `setup` changed."""
        ...

    def attach(self, workspace: WorkspaceId, pid: int, slot: int) -> None:
        """Connect the network namespace of `pid` with the address of `slot`; may be repeated."""
        ...

    def detach(self, workspace: WorkspaceId) -> None:
        """Remove what `attach` made, as far as it is there."""
        ...

    def inventory(self) -> set[WorkspaceId]:
        """Workspaces of which something is left on the host."""
        ...

    def resolv_conf(self) -> str:
        """The text of /etc/resolv.conf for workspaces in mode `open`."""
        ...
