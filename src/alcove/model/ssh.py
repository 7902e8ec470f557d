"""People's SSH keys, and how a login name says which workspace is meant. Pure values."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from alcove.model.access import Actor
from alcove.model.workspace import UserId, WorkspaceId

LOGIN_MAX: Final = 128
_DOTTED: Final = re.compile(r"([a-z0-9-]{1,63})\.([a-z0-9-]{1,32})")


@dataclass(frozen=True, slots=True)
class SshKey:
    """A public key by which its user signs in."""

    id: str
    user: UserId
    name: str
    public_key: str
    """One line, as OpenSSH writes it, without a comment."""
    fingerprint: str
    """`SHA256:…`, as OpenSSH writes it."""
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Proof:
    """What a key or a certificate that was offered is good for, if its holder signs with it."""

    actor: Actor
    method: str
    """`key` or `certificate`."""
    public_key: bytes
    """As OpenSSH writes it: what the signature is to be checked with."""
    fingerprint: str
    workspace: WorkspaceId | None
    """The only one it opens."""


def read_login(name: str) -> str:
    """The workspace that a login name means: `workspace`, `workspace.owner`, `owner/workspace`,
    or an id; in the words of `core/access.py`."""
    dotted = _DOTTED.fullmatch(name[: LOGIN_MAX + 1])
    if dotted is not None:
        return f"{dotted[2]}/{dotted[1]}"
    return name[:LOGIN_MAX]
