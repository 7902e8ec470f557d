"""`alcove sync`: rsync between here and a workspace, over our SSH."""

import shlex
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from alcove.cli import screen
from alcove.cli.cp import Remote, place
from alcove.cli.ssh import LOGIN, find_program, host_of, options_for
from alcove.sdk.credentials import resolve
from alcove.sdk.errors import AlcoveError, Invalid, NotFound, Unsupported

SETTLE_S: Final = 0.3
"""How long nothing has to change before what did is sent."""
LOOK_S: Final = 1.0
FILES_MAX: Final = 200_000
NOT_FOUND_THERE: Final = 127
PROTOCOL_FAULT: Final = 12
"""What rsync ends with when the other side did not answer as an rsync."""


def sync(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A directory, or W:PATH.")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A directory, or W:PATH.")],
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on with what changes here, until Ctrl-C.")
    ] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete there what is not here.")
    ] = False,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", "-x", metavar="PATTERN", help="Leave out; rsync's patterns."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Say what would be done, and do nothing.")
    ] = False,
) -> None:
    """Make a directory in a workspace what it is here, or the other way round, with rsync.

    `alcove sync . api:project --watch` · what is in the directory goes into the other one.
    """
    near_or_far = place(source), place(target)
    match near_or_far:
        case Remote() as far, str() as near:
            pair = (far_side(far), inside(near))
        case str() as near, Remote() as far:
            if not Path(near).is_dir():
                raise NotFound(f"{near} is not a directory here; `alcove cp` copies files")
            pair = (inside(near), far_side(far))
        case _:
            raise Invalid("one of the two has to be WORKSPACE:PATH, and one a path here")
    if watch and isinstance(near_or_far[0], Remote):
        raise Invalid("--watch looks at files here: the first of the two has to be a path here")
    options = options_of(delete=delete, exclude=exclude or [], dry_run=dry_run)
    command = [find_rsync(), *options, "-e", shell_of(far), "--", *pair]
    run(command, far.workspace)
    if watch:
        follow(Path(source), command, far.workspace)


def options_of(*, delete: bool, exclude: Sequence[str], dry_run: bool) -> list[str]:
    """Like `-a` without owners, which mean nothing on the other side."""
    options = ["-rlptz", "--human-readable", "--partial"]
    options += ["--delete"] if delete else []
    options += ["--dry-run", "--itemize-changes"] if dry_run else []
    options += ["--info=progress2"] if screen.seen() and not dry_run else []
    return [*options, *(f"--exclude={pattern}" for pattern in exclude)]


def shell_of(far: Remote) -> str:
    """What rsync starts to reach the other side. It cuts this at blanks and knows quotes."""
    program = find_program("ssh")
    options = [
        part
        for text in options_for(resolve().url, host_of(far.workspace))
        for part in ("-o", text)
    ]
    return shlex.join([program, *options])


def far_side(far: Remote) -> str:
    """`alcove@api.alcove:project/`."""
    return f"{LOGIN}@{host_of(far.workspace)}:{far.path.rstrip('/') or '/'}/".replace("//", "/")


def inside(near: str) -> str:
    """What is in a directory, not the directory: `./` before it, so that it is no host."""
    path = Path(near)
    return f"{path if path.is_absolute() else f'./{path}'}/"


def find_rsync() -> str:
    try:
        return find_program("rsync")
    except Unsupported:
        raise Unsupported(
            "there is no `rsync` on this machine: install it, or use `alcove cp`, "
            "which needs none and copies everything"
        ) from None


def run(command: Sequence[str], workspace: str) -> None:
    """Raises AlcoveError when rsync fails, with what to do where that is known."""
    code = subprocess.run(command, check=False).returncode
    if code in {NOT_FOUND_THERE, PROTOCOL_FAULT}:
        raise Unsupported(
            f"rsync failed with code {code}; is it installed in {workspace}? Put the package "
            "rsync into its template, or use `alcove cp`, which needs none"
        )
    if code:
        raise AlcoveError(f"rsync failed with code {code}; above is why")


def follow(directory: Path, command: Sequence[str], workspace: str) -> None:
    """Send again whenever something here has changed, until interrupted."""
    screen.say(f"Watching {directory}; Ctrl-C ends.")
    before = state_of(directory)
    while True:
        time.sleep(LOOK_S)
        now = state_of(directory)
        if now == before:
            continue
        while True:
            time.sleep(SETTLE_S)
            later = state_of(directory)
            if later == now:
                break
            now = later
        before = now
        try:
            run(command, workspace)
            screen.say_done(f"{time.strftime('%H:%M:%S')} sent what changed")
        except AlcoveError as error:
            # The connection may be back the next time.
            screen.say_warning(str(error))


def state_of(directory: Path) -> dict[str, tuple[int, int]]:
    """Each file's moment of change and size. Raises Invalid for more than can be looked at."""
    found: dict[str, tuple[int, int]] = {}
    for path in directory.rglob("*"):
        try:
            about = path.lstat()
        except OSError:
            continue
        found[str(path)] = (about.st_mtime_ns, about.st_size)
        if len(found) > FILES_MAX:
            raise Invalid(f"{directory} has more than {FILES_MAX} files, too many to watch")
    return found
