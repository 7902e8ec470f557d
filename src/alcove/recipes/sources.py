"""References to images in registries, parsed strictly.

The grammar is that of https://github.com/distribution/reference: anything else (transports such
as `docker-daemon:`, options, spaces) never reaches the tool that pulls.
"""

import re
from dataclasses import dataclass
from typing import Final

from alcove.recipes.problem import quoted

DEFAULT_REGISTRY: Final = "docker.io"
_NAME_MAX: Final = 255

_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]{0,61}[a-zA-Z0-9])"
_REGISTRY: Final = re.compile(
    rf"{_LABEL}(?:\.{_LABEL})*(?::[0-9]{{1,5}})?|\[[0-9a-f:]{{2,39}}\](?::[0-9]{{1,5}})?"
)
_PART: Final = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-{1,8})[a-z0-9]+)*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """`registry/path`, and what was asked for in it."""

    name: str
    """With its registry: `docker.io/library/python`."""
    tag: str
    digest: str

    @property
    def tagged(self) -> str:
        return f"{self.name}:{self.tag}" if self.tag else self.name


def parse_reference(text: str) -> Reference:
    """Split `[registry/]name[:tag][@sha256:…]`. Raises ValueError, saying which part is wrong."""
    rest, at, digest = text.partition("@")
    if at and _DIGEST.fullmatch(digest) is None:
        raise ValueError(f"{quoted(digest)} is not a digest like sha256:… (64 hexadecimals)")
    head, slash, last = rest.rpartition("/")
    last, colon, tag = last.partition(":")
    if colon and _TAG.fullmatch(tag) is None:
        raise ValueError(f"{quoted(tag)} is not a tag")
    name = _qualified(f"{head}{slash}{last}")
    registry, _, path = name.partition("/")
    if _REGISTRY.fullmatch(registry) is None:
        raise ValueError(f"{quoted(registry)} is not the name of a registry")
    for part in path.split("/"):
        if _PART.fullmatch(part) is None:
            said = "write it like registry.example.com/team/image:tag, in small letters"
            raise ValueError(f"{quoted(text)} is not the name of an image; {said}")
    if len(name) > _NAME_MAX:
        raise ValueError(f"has a name of {len(name)} characters; the limit is {_NAME_MAX}")
    return Reference(name=name, tag=tag, digest=digest)


def _qualified(name: str) -> str:
    """With its registry: `python` is `docker.io/library/python`, as to every container tool."""
    first, slash, _ = name.partition("/")
    if slash and (first == "localhost" or any(c in first for c in ".:")):
        return name
    return f"{DEFAULT_REGISTRY}/{name}" if slash else f"{DEFAULT_REGISTRY}/library/{name}"
