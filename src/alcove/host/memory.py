"""The memory of a paused workspace on disk: a directory beside its state, whole or not there.

It is made under a temporary name, summed, written out and renamed. One rule: nothing is gone on
with that is not found as it was written.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from alcove.host.copying import copy, digest, sync
from alcove.model.errors import DriverError
from alcove.model.workspace import Spec, WorkspaceId

CHECKPOINT_TIMEOUT_S: Final = 60.0
"""What writing processes and memory may take, for a pause and for a snapshot."""
_NAME: Final = "memory"
_HALF: Final = "memory.new"
_SUMS: Final = "sums.json"
_BEGUN: Final = "begun.json"


@dataclass(frozen=True, slots=True)
class Begun:
    """What the last start was asked for; what was changed since is in the record."""

    spec: Spec
    control_sha256: str


_ADAPTER: Final = TypeAdapter[Begun](Begun)


def keep_begun(directory: Path, begun: Begun) -> None:
    (directory / _BEGUN).write_bytes(_ADAPTER.dump_json(begun))


def begun(directory: Path) -> Begun:
    """Raises DriverError, not to be tried again."""
    try:
        return _ADAPTER.validate_json((directory / _BEGUN).read_bytes())
    except (OSError, ValueError) as error:
        raise DriverError(
            f"{directory.name} cannot be resumed, for what it was started with cannot be read"
            f" ({error}); stop it, and start it again",
            retry=False,
        ) from error


def image(directory: Path) -> Path:
    """Where it is, in the directory of a workspace."""
    return directory / _NAME


def asleep(directory: Path) -> bool:
    """Whether memory is kept there, so that the files must stay as they are."""
    return image(directory).exists()


def begin(directory: Path) -> Path:
    """An empty directory to write it to."""
    drop(directory)
    half = directory / _HALF
    half.mkdir(mode=0o700)
    return half


def finish(directory: Path) -> None:
    """Raises OSError: the disk is full."""
    half = directory / _HALF
    sums = {p.name: [p.stat().st_size, digest(p)] for p in sorted(half.iterdir())}
    (half / _SUMS).write_text(json.dumps(sums))
    for path in half.iterdir():
        sync(path)
    half.rename(image(directory))
    sync(directory)


def interrupted(directory: Path) -> bool:
    """Whether anything of a pause is there."""
    return (directory / _HALF).exists() or asleep(directory)


def drop(directory: Path) -> None:
    for name in (_HALF, _NAME):
        shutil.rmtree(directory / name, ignore_errors=True)


def check(workspace: WorkspaceId, directory: Path) -> None:
    """Raises DriverError, not to be tried again, for one that is not as it was written."""
    kept = image(directory)
    try:
        sums: dict[str, list[object]] = json.loads((kept / _SUMS).read_text())
        wrong = [
            name
            for name, (size, summed) in sums.items()
            if (kept / name).stat().st_size != size or digest(kept / name) != summed
        ]
    except (OSError, ValueError) as error:
        raise _damaged(workspace, str(error)) from error
    if wrong:
        raise _damaged(workspace, f"{', '.join(wrong)} is not as it was written")


def copy_to(directory: Path, target: Path) -> None:
    """For a snapshot of what sleeps. Raises OSError."""
    for path in image(directory).iterdir():
        if path.name != _SUMS:
            copy(path, target / path.name)


def _damaged(workspace: WorkspaceId, why: str) -> DriverError:
    return DriverError(
        f"the memory of {workspace} is damaged ({why}); its files are not: stop it, and start it"
        " again",
        retry=False,
    )
