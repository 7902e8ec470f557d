"""SSH keys, and certificates that are good for minutes."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from alcove.wire.base import Answer, Reference, Request

PUBLIC_KEY_MAX = 8192
PublicKey = Annotated[
    str,
    StringConstraints(min_length=1, max_length=PUBLIC_KEY_MAX),
    Field(description="One line, as in a file that ends in `.pub`."),
]


class NewSshKey(Request):
    """A public key that lets its holder in as the caller."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._@/-]{0,63}$")]
    public_key: PublicKey


class SshKey(Answer):
    id: str
    name: str
    public_key: str
    """Without its comment."""
    fingerprint: str
    """As OpenSSH shows it: `SHA256:…`."""
    created_at: datetime
    last_used_at: datetime | None


class NewSshCertificate(Request):
    """Of a key pair that may be made for this one connection."""

    public_key: PublicKey
    workspace: Reference | None = None
    """The only one that it opens."""


class SshCertificate(Answer):
    """What a client writes to `…-cert.pub` beside its private key."""

    certificate: str
    serial: str
    """A number of up to 63 bits, as text."""
    expires_at: datetime
    login: str | None
    """The login name for `workspace`: its id."""
    port: int | None
    """Where the gateway listens; null: only through `GET /api/v2/ssh`."""
    host_keys: list[str]
    """`type base64`: what clients keep in known_hosts."""
