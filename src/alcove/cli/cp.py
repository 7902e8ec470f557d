"""`alcove cp`: files and directories between here and a workspace, either way."""

import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Final

import typer

from alcove.cli import screen
from alcove.cli.session import connect
from alcove.sdk.errors import Invalid, NotFound

if TYPE_CHECKING:
    from alcove.sdk import Transfer, Workspace

SKIPPED_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Remote:
    """`W:PATH`; a relative path is below the user's home."""

    workspace: str
    path: str


def cp(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A path, or W:PATH.")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A path, or W:PATH.")],
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Directories are copied whole anyway.")
    ] = False,
) -> None:
    """Copy files and directories to or from a workspace.

    `alcove cp notes.txt api:` · `alcove cp api:project/dist ./dist` · as with cp, a target that
    is a directory gets the source in it. `-` is stdin or stdout.
    """
    near_or_far = place(source), place(target)
    with connect() as api:
        match near_or_far:
            case Remote() as far, str() as near:
                _download(api.workspaces.get(far.workspace), far.path, near)
            case str() as near, Remote() as far:
                _upload(api.workspaces.get(far.workspace), near, far.path)
            case Remote(), Remote():
                raise Invalid("copying between workspaces goes through here: copy twice")
            case _:
                raise Invalid("one of the two has to be WORKSPACE:PATH")


def place(text: str) -> Remote | str:
    """What an argument names. A path with a colon in it is written `./a:b`."""
    name, colon, path = text.partition(":")
    if not colon or not name or name.startswith((".", "~")) or name.count("/") > 1:
        return text
    return Remote(name, path or ".")


def _download(workspace: "Workspace", path: str, local: str) -> None:
    if local == "-":
        with workspace.files.open(path) as body:
            for chunk in body:
                sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return
    target, name = Path(local), PurePosixPath(path).name
    if target.is_dir() and name not in ("", ".", ".."):
        target /= name
    if _is_directory(workspace, path):
        with screen.byte_progress(f"{workspace.name}:{path}", None) as bar:
            moved = workspace.files.download_directory(path, target, on_bytes=bar.add)
        _tell(moved, str(target))
        return
    with screen.byte_progress(f"{workspace.name}:{path}", None) as bar:
        size = workspace.files.download(path, target, on_bytes=bar.add)
    screen.say_done(f"{target} ({screen.size(size)})")


def _upload(workspace: "Workspace", local: str, path: str) -> None:
    if local == "-":
        workspace.files.upload_from(sys.stdin.buffer, path)
        return
    source = Path(local)
    if not source.exists():
        raise NotFound(f"{source} is not there")
    if path.endswith("/") or _is_directory(workspace, path):
        path = f"{path.rstrip('/') or '/'}/{source.resolve().name}".replace("//", "/")
    where = f"{workspace.name}:{path}"
    if source.is_dir():
        with screen.byte_progress(where, None) as bar:
            moved = workspace.files.upload_directory(source, path, on_bytes=bar.add)
        _tell(moved, where)
        return
    size = source.stat().st_size
    with screen.byte_progress(where, size) as bar:
        workspace.files.upload(source, path, on_bytes=bar.add)
    screen.say_done(f"{where} ({screen.size(size)})")


def _is_directory(workspace: "Workspace", path: str) -> bool:
    try:
        return workspace.files.is_directory(path)
    except NotFound:
        return False


def _tell(moved: "Transfer", where: str) -> None:
    screen.say_done(f"{where} ({moved.files} files, {screen.size(moved.bytes)})")
    for line in moved.skipped[:SKIPPED_SHOWN]:
        screen.say_warning(f"left out {line}")
    if len(moved.skipped) > SKIPPED_SHOWN:
        screen.say_warning(f"and {len(moved.skipped) - SKIPPED_SHOWN} more were left out")
