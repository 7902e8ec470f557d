"""Reading a template that was pushed as a tar: member by member, in memory, bounded.

Nothing is ever extracted to disk: a name is a key, and only plain files count.
"""

import io
import tarfile
from typing import Final

from alcove.core.templates import BYTES_MAX, FILES_MAX
from alcove.model.errors import FieldError, Invalid

MEMBERS_MAX: Final = 4 * FILES_MAX


def files_of_tar(raw: bytes) -> dict[str, bytes]:
    """Paths to contents. Raises Invalid for links, devices, `..`, doubles and what is no tar."""
    files: dict[str, bytes] = {}
    room = BYTES_MAX
    try:
        # `r:` is plain tar: a compressed one could unfold to any size.
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as archive:
            for count, member in enumerate(archive, start=1):
                if count > MEMBERS_MAX:
                    raise _refused("", f"more than {MEMBERS_MAX} entries")
                if member.isdir():
                    continue
                name = _name(member)
                if name in files:
                    raise _refused(name, "stands there twice")
                if member.size > room:
                    raise _refused(name, f"more than {BYTES_MAX >> 20} MiB in all")
                room -= member.size
                opened = archive.extractfile(member)
                data = b"" if opened is None else opened.read(member.size)
                if len(data) != member.size:
                    raise _refused(name, "ends too early")
                files[name] = data
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise Invalid(f"the body is not a plain tar archive: {error}") from None
    return files


def _name(member: tarfile.TarInfo) -> str:
    shown = member.name[:200]
    if not member.isreg() or member.issparse():
        raise _refused(shown, "is not a plain file")
    name = member.name.removeprefix("./")
    parts = name.split("/")
    if name.startswith("/") or "" in parts or "." in parts or ".." in parts or "\\" in name:
        raise _refused(shown, "is not a path below the template's directory")
    if not name.isprintable():
        raise _refused("", "a name has control characters, or is not UTF-8")
    return name


def _refused(name: str, said: str) -> Invalid:
    return Invalid(f"{name}: {said}" if name else said, [FieldError(name, said)])
