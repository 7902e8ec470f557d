"""One line that tells how a workspace comes up: its phase, and the newest line of its log.

The log is followed by a thread of its own, which ends with the program and never disturbs it.
"""

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from alcove.cli.screen import Progress
    from alcove.sdk import Workspace

IMAGE: Final = "image"
"""Where an image's build is, the reason of the phase tells already."""


class LiveLine:
    """`beginning · newest line of the log`."""

    def __init__(self, shown: "Progress", beginning: str) -> None:
        self._shown = shown
        self._beginning = beginning
        self._newest = ""

    def begin_with(self, beginning: str) -> None:
        self._beginning = beginning
        self._show()

    def follow(self, workspace: "Workspace") -> None:
        threading.Thread(target=self._read, args=(workspace,), name="log", daemon=True).start()

    def _read(self, workspace: "Workspace") -> None:
        # Whatever happens to the log, also that the connection is closed under it at the end of
        # the wait, is nothing to bother anybody with here.
        with suppress(Exception):
            for line in workspace.logs(follow=True):
                if line.source != IMAGE and line.line.strip():
                    self._newest = f" · {line.source}: {line.line}"
                    self._show()

    def _show(self) -> None:
        self._shown.say(self._beginning + self._newest)
