"""References to images in registries, read strictly. Pure.

The grammar is that of the OCI distribution specification; `docker.io` stands in front when no
registry is named. What is not a reference (a transport, an option, a path) is refused, because it
becomes an argument of a program.
"""

import re
from dataclasses import dataclass
from typing import Final

from alcove.model.errors import DriverError

DEFAULT_REGISTRY: Final = "docker.io"
LENGTH_MAX: Final = 400
_LABEL: Final = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_REGISTRY: Final = rf"{_LABEL}(?:\.{_LABEL}){{0,20}}(?::[0-9]{{1,5}})?"
_PART: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH: Final = rf"{_PART}(?:/{_PART}){{0,10}}"
_TAG: Final = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_REFERENCE: Final = re.compile(
    rf"(?:(?P<registry>{_REGISTRY})/)?(?P<path>{_PATH})"
    rf"(?::(?P<tag>{_TAG}))?(?:@(?P<digest>sha256:[0-9a-f]{{64}}))?"
)


@dataclass(frozen=True, slots=True)
class Reference:
    """`registry/path:tag@digest`; the digest, when given, decides."""

    registry: str
    path: str
    tag: str
    digest: str

    @property
    def name(self) -> str:
        return f"{self.registry}/{self.path}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag and not self.digest else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def parse(text: str) -> Reference:
    """Read a reference; no tag and no digest means `latest`. Raises DriverError."""
    found = _REFERENCE.fullmatch(text) if len(text) <= LENGTH_MAX else None
    if found is None:
        raise DriverError(
            f"{text[:100]!r} is not an image reference; "
            "write it like registry.example.com/team/python:3.13",
            retry=False,
        )
    registry, path = found["registry"] or "", found["path"]
    if registry and not ("." in registry or ":" in registry or registry == "localhost"):
        # Without a dot it is the first part of a path, as in `bitnami/redis`.
        registry, path = "", f"{registry}/{path}"
    if registry in ("", DEFAULT_REGISTRY, "index.docker.io"):
        registry = DEFAULT_REGISTRY
        path = path if "/" in path else f"library/{path}"
    digest = found["digest"] or ""
    return Reference(registry, path, found["tag"] or ("" if digest else "latest"), digest)


def check_digest(text: str) -> str:
    """The digest, if it is one that we verify. Raises DriverError."""
    if not DIGEST.fullmatch(text):
        raise DriverError(f"{text[:100]!r} is not a digest like sha256:…", retry=False)
    return text
