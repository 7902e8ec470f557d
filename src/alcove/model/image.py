"""Where a workspace's root file system comes from. An image is named by what is in it, so two
templates that ask for the same one share it."""

import hashlib
import json
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class DebianImage:
    """Built on the host from a suite and lists of packages, with mmdebstrap, npm and pip."""

    suite: str
    packages: tuple[str, ...]
    user: str
    """The ordinary user (uid 1000) that the build adds."""
    sudo: bool
    """Whether sudo is installed and allowed; only with root `contained`."""
    npm: tuple[str, ...] = ()
    """`name@version` of npm packages, installed for everybody."""
    pip: tuple[str, ...] = ()
    """`name==version` of Python packages, installed for everybody."""

    @property
    def key(self) -> str:
        parts = ["debian", self.suite, sorted(set(self.packages)), self.user, self.sudo]
        if self.npm or self.pip:
            parts += [sorted(set(self.npm)), sorted(set(self.pip))]
        return _key(*parts)


@dataclass(frozen=True, slots=True)
class OciImage:
    """Pulled from a registry by digest; the tag was resolved when the template was pushed."""

    reference: str
    """Without tag or digest: `registry.example.com/dev/python`."""
    digest: str
    """`sha256:…` of the manifest."""

    @property
    def key(self) -> str:
        return _key("oci", self.digest)


Image: TypeAlias = DebianImage | OciImage


def _key(*parts: object) -> str:
    """32 hexadecimal characters that name the content on disk."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
