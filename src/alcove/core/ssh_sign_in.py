"""From a public key or certificate that an SSH client offers to an Actor."""

from alcove.core import identity, ssh_ca
from alcove.core.app import Core
from alcove.core.ssh_keys import blob_of, fingerprint
from alcove.model.access import Actor, Role
from alcove.model.errors import Unauthenticated
from alcove.model.identity import CredentialKind
from alcove.model.ssh import Proof
from alcove.model.workspace import UserId
from alcove.store import ssh_keys

_REFUSED = "this key opens nothing here"
_TYPE_MAX = 64
KEY_MAX = 16 * 1024


async def look_up(core: Core, data: bytes, *, address: str) -> Proof:
    """What the key or certificate (as on the wire) is good for, if its holder signs with it.

    Raises Unauthenticated with no more of a reason than the caller could know anyway.
    """
    if len(data) > KEY_MAX:
        raise Unauthenticated(_REFUSED)
    if _type(data).endswith(ssh_ca.CERT_MARK):
        return await _by_certificate(core, data, address)
    return await _by_key(core, data)


async def _by_certificate(core: Core, data: bytes, address: str) -> Proof:
    holder = ssh_ca.check(core.secret, data, address=address, now=core.clock())
    actor = await identity.recheck(core, _named(holder.user, holder.credential))
    return Proof(
        actor=actor,
        method="certificate",
        public_key=holder.public_key,
        fingerprint=fingerprint(blob_of(holder.public_key)),
        workspace=holder.workspace,
    )


async def _by_key(core: Core, data: bytes) -> Proof:
    found = fingerprint(data)
    now = core.clock()
    # Guessing costs no query each, as with tokens.
    known, _ = core.gate.recall(CredentialKind.SSH_KEY, found, now=now)
    if known:
        raise Unauthenticated(_REFUSED)
    async with core.db.read() as tx:
        key = await ssh_keys.by_fingerprint(tx, found)
    if key is None:
        core.gate.remember(CredentialKind.SSH_KEY, found, None, now=now)
        raise Unauthenticated(_REFUSED)
    actor = await identity.recheck(core, _named(key.user, key.id))
    return Proof(
        actor=actor,
        method="key",
        public_key=key.public_key.encode(),
        fingerprint=key.fingerprint,
        workspace=None,
    )


def _named(user: UserId, credential: str) -> Actor:
    """Whom the proof is about; `recheck` answers what they may."""
    return Actor(id=user, name="", role=Role.MEMBER, credential=credential)


def _type(data: bytes) -> bytes:
    length = int.from_bytes(data[:4], "big")
    return data[4 : 4 + length] if length <= _TYPE_MAX else b""
