"""Everything of ours on the machine, found by name: for the sweeper, and for the teardown.

One rule: only names that are ours count (our data directory, our instance's cgroup and
interfaces), so that nothing of anybody else's is ever listed.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from alcove.drivers.base import Leftover
from alcove.host.mounts import mounts_below
from alcove.host.state import WORKSPACE_ID
from alcove.host.volumes import backing_files
from alcove.model.workspace import WorkspaceId

if TYPE_CHECKING:
    from alcove.host.ground import Ground


def leftovers(
    ground: "Ground", recorded: set[WorkspaceId], networked: set[WorkspaceId]
) -> tuple[Leftover, ...]:
    found: dict[WorkspaceId, list[str]] = {}

    def note(what: str, workspaces: Iterable[WorkspaceId]) -> None:
        for workspace in workspaces:
            if WORKSPACE_ID.fullmatch(workspace):
                found.setdefault(workspace, []).append(what)

    note("record", recorded)
    note("runtime", {w for r in ground.runtimes.values() for w in r.ids()})
    note("mounts", _mounted(ground.workspaces))
    note("loop device", _looped(ground))
    note("volume", ground.volumes.ids())
    note("cgroup", ground.cgroups.ids())
    note("network", networked)
    note("door", ground.doors.ids())
    note("socket", ground.sockets.ids())
    return tuple(Leftover(w, tuple(found[w])) for w in sorted(found))


def _mounted(workspaces: Path) -> set[WorkspaceId]:
    points = mounts_below(workspaces)
    return {WorkspaceId(point.relative_to(workspaces).parts[0]) for point in points}


def _looped(ground: "Ground") -> set[WorkspaceId]:
    directory = ground.volumes.directory
    return {WorkspaceId(f.stem) for f in backing_files().values() if f.parent == directory}
