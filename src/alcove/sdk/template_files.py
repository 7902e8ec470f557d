"""Read a template's directory for a push. What is not part of it is left out, and bounded."""

import base64
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alcove.sdk.errors import Invalid

TEMPLATE_FILE: Final = "template.yaml"
FILES_MAX: Final = 1000
BYTES_MAX: Final = 8 * 1024 * 1024
_LEFT_OUT: Final = frozenset({".git", ".hg", ".svn", "__pycache__", "node_modules", ".DS_Store"})
_NAME: Final = re.compile(r"^name:[ \t]*[\"']?([a-z0-9-]+)[\"']?[ \t]*(?:#.*)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class TemplateSource:
    """`name` is what `template.yaml` says, else the directory's."""

    name: str
    texts: Mapping[str, str]
    binaries: Mapping[str, bytes]

    def body(self) -> dict[str, object]:
        """As the API takes it."""
        encoded = {path: base64.b64encode(data).decode() for path, data in self.binaries.items()}
        return {"files": self.texts, "files_base64": encoded}


def read_directory(directory: Path) -> TemplateSource:
    """Raises Invalid if it is no template, or too large to be one."""
    directory = directory.resolve()
    if not (directory / TEMPLATE_FILE).is_file():
        raise Invalid(f"{directory} has no {TEMPLATE_FILE}; a template is a directory with one")
    texts: dict[str, str] = {}
    binaries: dict[str, bytes] = {}
    total = 0
    for above, below, names in os.walk(directory):
        below[:] = sorted(name for name in below if name not in _LEFT_OUT)
        for name in sorted(set(names) - _LEFT_OUT):
            path = Path(above, name)
            data = _content(path, room=BYTES_MAX - total)
            total += len(data)
            relative = path.relative_to(directory).as_posix()
            text = _text(data)
            if text is None:
                binaries[relative] = data
            else:
                texts[relative] = text
            if len(texts) + len(binaries) > FILES_MAX:
                raise Invalid(f"{directory} has more than {FILES_MAX} files")
    found = _NAME.search(texts.get(TEMPLATE_FILE, ""))
    return TemplateSource(found[1] if found else directory.name, texts, binaries)


def _content(path: Path, *, room: int) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise Invalid(f"{path} is not a plain file; a template has only those")
    if path.stat().st_size > room:
        raise Invalid(f"{path}: the template's files are larger than {BYTES_MAX // 2**20} MiB")
    with path.open("rb") as file:
        return file.read(room)


def _text(data: bytes) -> str | None:
    """The text, if it goes through JSON unchanged."""
    try:
        return None if b"\0" in data else data.decode()
    except UnicodeDecodeError:
        return None
