"""The gateway's own keys, and certificates for people.

Host key and certificate authority are derived from `secret.key`: nothing else has to be kept,
they are one for all servers, and a restored backup has them. A certificate says who it is for
and by which credential it was asked for, so that it ends with that one; it is good for minutes.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.dsa import DSAPublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    SSHCertificate,
    SSHCertificateBuilder,
    SSHCertificateType,
    load_ssh_public_identity,
)

from alcove.core import access, identity
from alcove.core.app import Core
from alcove.core.ssh_keys import blob_of, fingerprint, load_public, read_public
from alcove.model.access import Actor, Permission
from alcove.model.errors import Unauthenticated
from alcove.model.event import EventKind
from alcove.model.workspace import UserId, WorkspaceId

LIFE: Final = timedelta(minutes=5)
SKEW: Final = timedelta(minutes=1)
"""How far behind the clock of another server may be."""
CERT_MARK: Final = b"-cert-v01@openssh.com"
CERT_MAX: Final = 16 * 1024
_PRINCIPALS_MAX: Final = 1
_EXTENSIONS: Final = ("permit-agent-forwarding", "permit-port-forwarding", "permit-pty")
_ADDRESSES: Final = b"source-address"


@dataclass(frozen=True, slots=True)
class Certificate:
    text: str
    """One line, for a file `…-cert.pub`."""
    serial: int
    expires_at: datetime
    workspace: WorkspaceId | None
    """The only one that it opens."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a good certificate is of."""

    user: UserId
    credential: str
    workspace: WorkspaceId | None
    public_key: bytes
    """As OpenSSH writes it."""


def host_key(secret: bytes) -> bytes:
    """The private key of the gateway, in OpenSSH's format."""
    return _key(secret, "ssh-host").private_bytes(
        Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
    )


def host_public_key(secret: bytes) -> str:
    """`ssh-ed25519 AAAA…`: what clients keep in known_hosts."""
    return _public(_key(secret, "ssh-host"))


def authority(secret: bytes) -> str:
    """`ssh-ed25519 AAAA…`: what signs certificates."""
    return _public(_key(secret, "ssh-ca"))


async def issue(
    core: Core, actor: Actor, public_key: str, *, workspace: str | None
) -> Certificate:
    """A certificate for this key, good for what the caller's credential is good for.

    Raises Invalid for a key that is none, or too weak, and NotFound for a workspace that is not
    the caller's to see.
    """
    text = read_public(public_key)
    only = None
    if workspace is not None:
        found = await access.workspace(core, actor, workspace, Permission.WORKSPACE_READ)
        only = found.id
    made = _sign(core, actor, text, only)
    detail: dict[str, object] = {
        "serial": str(made.serial),
        "fingerprint": fingerprint(blob_of(text)),
        "expires_at": made.expires_at.isoformat(),
    }
    if only is not None:
        detail["workspace"] = only
    kind = EventKind.SSH_CERTIFICATE_ISSUED
    await identity.record(
        core, identity.event(actor, kind, subject=actor.id, owner=actor.id, detail=detail)
    )
    return made


def _sign(core: Core, actor: Actor, text: str, workspace: WorkspaceId | None) -> Certificate:
    key = load_public(text)
    assert not isinstance(key, DSAPublicKey)  # `read_public` refuses it
    now = core.clock()
    expires_at = now + LIFE
    if actor.expires_at is not None:
        expires_at = min(expires_at, actor.expires_at)
    serial = secrets.randbits(63)
    builder = (
        SSHCertificateBuilder()
        .public_key(key)
        .serial(serial)
        .type(SSHCertificateType.USER)
        .key_id(" ".join((actor.id, actor.credential, workspace or "-")).encode())
        .valid_principals([actor.id.encode()])
        .valid_after(int((now - SKEW).timestamp()))
        .valid_before(int(expires_at.timestamp()))
    )
    for name in _EXTENSIONS:
        builder = builder.add_extension(name.encode(), b"")
    signed = builder.sign(_key(core.secret, "ssh-ca")).public_bytes().decode()
    return Certificate(signed, serial, expires_at, workspace)


def check(secret: bytes, data: bytes, *, address: str, now: datetime) -> Holder:
    """The holder of a certificate as it comes over the wire.

    Raises Unauthenticated for whatever is not, to the letter, what `issue` makes: another
    authority's, a host's, one without or with several principals, one with a critical option
    that we do not know, one that is not for this address or not for now.
    """
    found = _read(data)
    # The signature first: nothing in it means anything before.
    if _wire(found.signature_key()) != _wire(_key(secret, "ssh-ca").public_key()):
        raise _refused("it is not signed by this server")
    try:
        found.verify_cert_signature()
    except InvalidSignature as error:
        raise _refused("its signature is wrong") from error
    if found.type is not SSHCertificateType.USER:
        raise _refused("it is a host's")
    _check_time(found, now)
    _check_options(found, address)
    return _holder(found)


def _read(data: bytes) -> SSHCertificate:
    if len(data) > CERT_MAX:
        raise _refused("it is too large")
    length = int.from_bytes(data[:4], "big")
    name = data[4 : 4 + length]
    if length > 64 or not name.endswith(CERT_MARK):
        raise _refused("it is none")
    try:
        found = load_ssh_public_identity(name + b" " + base64.b64encode(data))
    except Exception as error:
        # The library has no one error for what is not a certificate.
        raise _refused("it cannot be read") from error
    if not isinstance(found, SSHCertificate):
        raise _refused("it is none")
    return found


def _check_time(found: SSHCertificate, now: datetime) -> None:
    at = now.timestamp()
    if at < found.valid_after:
        raise _refused("it is not valid yet")
    if at >= found.valid_before:
        raise _refused("it has expired")
    if found.valid_before - found.valid_after > (LIFE + SKEW).total_seconds() + 1:
        raise _refused("it is valid for too long")


def _check_options(found: SSHCertificate, address: str) -> None:
    for name, value in found.critical_options.items():
        if name != _ADDRESSES:
            raise _refused("it has a critical option that is not known here")
        if not _within(value, address):
            raise _refused("it is not for this address")


def _within(value: bytes, address: str) -> bool:
    # The value is a string within the string.
    if int.from_bytes(value[:4], "big") == len(value) - 4:
        value = value[4:]
    try:
        caller = ip_address(address)
        networks = [ip_network(one.strip()) for one in value.decode("ascii").split(",")]
    except ValueError:
        return False
    return any(caller in network for network in networks)


def _holder(found: SSHCertificate) -> Holder:
    principals = found.valid_principals
    try:
        user, credential, workspace = found.key_id.decode("ascii").split(" ")
    except ValueError as error:
        raise _refused("it does not say whom it is for") from error
    if len(principals) != _PRINCIPALS_MAX or principals[0] != user.encode():
        raise _refused("its principals are not whom it is for")
    if not user.isprintable() or "," in user or not user or not credential:
        raise _refused("its principals are not whom it is for")
    return Holder(
        user=UserId(user),
        credential=credential,
        workspace=None if workspace == "-" else WorkspaceId(workspace),
        public_key=found.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),  # pyright: ignore[reportArgumentType]
    )


def _refused(why: str) -> Unauthenticated:
    return Unauthenticated(f"the certificate is refused: {why}")


def _key(secret: bytes, purpose: str) -> Ed25519PrivateKey:
    seed = hmac.new(secret, purpose.encode(), hashlib.sha256).digest()
    return Ed25519PrivateKey.from_private_bytes(seed)


def _public(key: Ed25519PrivateKey) -> str:
    return _wire(key.public_key()).decode()


def _wire(key: object) -> bytes:
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)  # pyright: ignore
