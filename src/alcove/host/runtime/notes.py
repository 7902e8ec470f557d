"""What runsc notes of a container, in a file that it writes in place: killed in the middle, it
leaves one that it cannot read any more itself, not even to delete the container."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from alcove.model.workspace import WorkspaceId


def noted(state: Path, workspace: WorkspaceId) -> dict[str, Any] | None:
    """None for one that is not there or was cut off in writing."""
    with suppress(OSError, ValueError):
        found: object = json.loads(_file(state, workspace).read_text())
        if isinstance(found, dict):
            return dict[str, Any](found)  # pyright: ignore[reportUnknownArgumentType]
    return None


def is_paused(state: Path, workspace: WorkspaceId) -> bool:
    """As far as runsc knows, whose `resume` works then and only then."""
    found = noted(state, workspace)
    return found is not None and found.get("status") == "paused"


def mend(
    state: Path, workspace: WorkspaceId, before: dict[str, Any] | None, *, status: str
) -> None:
    """Where it was cut off in writing: what it was `before`, with the status that was to be."""
    if before is not None and noted(state, workspace) is None:
        _file(state, workspace).write_text(json.dumps({**before, "status": status}))


def forget(state: Path, workspace: WorkspaceId) -> None:
    """Of a container without processes whose note cannot be read."""
    for pattern in (f"{workspace}_sandbox:*", f"runsc-{workspace}.sock"):
        for path in state.glob(pattern):
            path.unlink(missing_ok=True)


def _file(state: Path, workspace: WorkspaceId) -> Path:
    return state / f"{workspace}_sandbox:{workspace}.state"
