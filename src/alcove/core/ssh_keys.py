"""People's own SSH keys: add, list, remove. And what makes a text a public key that we take."""

import base64
import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.dsa import DSAPublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import SSHPublicKeyTypes, load_ssh_public_key

from alcove.core.identity import event
from alcove.core.proofs import new_id
from alcove.model.access import Actor, Permission, allows
from alcove.model.errors import Conflict, Denied, FieldError, Invalid, NotFound, QuotaExceeded
from alcove.model.event import EventKind
from alcove.model.ssh import SshKey
from alcove.store import events, ssh_keys

if TYPE_CHECKING:
    from alcove.core.app import Core

KEYS_MAX: Final = 100
"""Of one user."""
TEXT_MAX: Final = 8192
RSA_BITS_MIN: Final = 3072
RSA_BITS_MAX: Final = 16384
ID_PREFIX: Final = "key-"
TYPES: Final = (
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
)
_PRIVATE: Final = re.compile(r"PRIVATE\s+KEY|PuTTY-User-Key-File", re.IGNORECASE)
_FIELD: Final = "public_key"


async def add(core: "Core", actor: Actor, *, name: str, public_key: str) -> SshKey:
    """Let whoever has this key in as the caller. Raises Invalid, Conflict, Denied."""
    _require(actor)
    text = read_public(public_key)
    key = SshKey(
        id=ID_PREFIX + new_id(),
        user=actor.id,
        name=name,
        public_key=text,
        fingerprint=fingerprint(blob_of(text)),
        created_at=core.clock(),
        last_used_at=None,
    )
    async with core.db.transaction() as tx:
        if len(await ssh_keys.find(tx, actor.id, after="", limit=KEYS_MAX)) >= KEYS_MAX:
            raise QuotaExceeded(f"{actor.name} has {KEYS_MAX} SSH keys; remove one first")
        if not await ssh_keys.add(tx, key):
            said = "this key is in use already, by you or by somebody else; make another"
            raise Conflict(f"{_FIELD}: {said}")
        await events.append(tx, core.clock(), _told(actor, EventKind.SSH_KEY_ADDED, key))
    core.gate.forget(key.fingerprint)
    return key


async def find(core: "Core", actor: Actor, *, after: str, limit: int) -> Sequence[SshKey]:
    """The caller's own, in the order of ids."""
    _require(actor)
    async with core.db.read() as tx:
        return await ssh_keys.find(tx, actor.id, after=after, limit=limit)


async def remove(core: "Core", actor: Actor, id: str) -> None:
    """From now on it lets nobody in, and whoever came in by it is out within a second."""
    _require(actor)
    async with core.db.transaction() as tx:
        key = await ssh_keys.remove(tx, id, user=actor.id)
        if key is None:
            raise NotFound(f"there is no SSH key {id[:64]!r}")
        await events.append(tx, core.clock(), _told(actor, EventKind.SSH_KEY_REMOVED, key))
    core.gate.forget(id)


def read_public(text: str) -> str:
    """The key as `type base64`, without its comment.

    Raises Invalid for what is no public key or one that we do not take; no error repeats what
    was given, which may be a private key.
    """
    if _PRIVATE.search(text):
        raise _bad(
            "this is a private key; paste the public one, from the file that ends in .pub. "
            "Treat the private one as known to others from now on if this was not your screen"
        )
    words = text.split()
    if len(text) > TEXT_MAX or len(text.strip().splitlines()) != 1 or len(words) < 2:
        raise _bad("give one public key in one line, such as `ssh-ed25519 AAAA… me@laptop`")
    kind, encoded = words[0], words[1]
    if kind not in TYPES:
        raise _bad(
            f"a key of this type is not taken; make one with `ssh-keygen -t ed25519` "
            f"(taken are {', '.join(TYPES)})"
        )
    read = f"{kind} {encoded}"
    _check_strength(load_public(read))
    return read


def load_public(text: str) -> SSHPublicKeyTypes:
    """Raises Invalid when the text is damaged."""
    try:
        return load_ssh_public_key(text.encode("ascii"))
    except Exception as error:
        # The library has no one error for what is not a key.
        raise _bad("this key is damaged: copy the whole line again") from error


def fingerprint(blob: bytes) -> str:
    """`SHA256:…`, as OpenSSH shows it."""
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return f"SHA256:{digest}"


def blob_of(public_key: str | bytes) -> bytes:
    """What goes over the wire of a key as OpenSSH writes it."""
    return base64.b64decode(public_key.split()[1])


def _check_strength(key: SSHPublicKeyTypes) -> None:
    if isinstance(key, DSAPublicKey):
        raise _bad("DSA keys are too weak; make one with `ssh-keygen -t ed25519`")
    if isinstance(key, RSAPublicKey) and not RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX:
        raise _bad(
            f"an RSA key has {RSA_BITS_MIN} to {RSA_BITS_MAX} bits, this one {key.key_size}; "
            "make one with `ssh-keygen -t ed25519`"
        )


def _require(actor: Actor) -> None:
    if actor.service:
        raise Denied("a service account has no SSH keys; it asks for certificates")
    if not allows(actor, Permission.TOKEN_MANAGE, owner=actor.id):
        raise Denied(f"{actor.name} may not manage SSH keys with this credential")
    if actor.scopes is not None or actor.workspace is not None:
        raise Denied(
            "an SSH key may all that its user may, so that a limited token cannot manage them"
        )


def _told(actor: Actor, kind: EventKind, key: SshKey):
    return event(
        actor,
        kind,
        subject=key.id,
        owner=key.user,
        detail={"name": key.name, "fingerprint": key.fingerprint},
    )


def _bad(said: str) -> Invalid:
    return Invalid(f"{_FIELD}: {said}", [FieldError(_FIELD, said)])
