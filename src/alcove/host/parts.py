"""What the verbs share: the machine, the records, and whose turn it is."""

import threading
from dataclasses import dataclass, field
from typing import Final

from alcove.host.crashpoints import CrashPoints
from alcove.host.ground import Ground
from alcove.host.ports import Images, Network
from alcove.host.settings import HostSettings
from alcove.host.shelf import Shelf
from alcove.host.state import Records
from alcove.host.turns import Turns
from alcove.model.errors import DriverError
from alcove.model.workspace import NetworkMode, WorkspaceId

AT_ONCE_MAX: Final = 8
"""Starts at the same time; the rest waits."""


class Openness:
    """Why mode `open` cannot be had now; empty if it can."""

    def __init__(self) -> None:
        self.problem = ""


@dataclass(frozen=True, slots=True)
class Parts:
    """One of each, for all workspaces. Used from many threads."""

    settings: HostSettings
    images: Images
    network: Network
    ground: Ground
    records: Records
    shelf: Shelf
    crash: CrashPoints
    turns: Turns[WorkspaceId] = field(default_factory=Turns[WorkspaceId])
    openness: Openness = field(default_factory=Openness)
    at_once: threading.BoundedSemaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(AT_ONCE_MAX)
    )

    def need_network(self, mode: NetworkMode) -> None:
        """Raises DriverError where mode `open` cannot be had, having tried again."""
        if mode is not NetworkMode.OPEN or not self.openness.problem:
            return
        self.open_network()
        if self.openness.problem:
            raise DriverError(f"mode open: {self.openness.problem}", retry=True)

    def open_network(self) -> None:
        """Set up mode `open`; a failure is kept in `openness`."""
        try:
            self.network.setup()
        except DriverError as error:
            self.openness.problem = str(error)
        else:
            self.openness.problem = ""
