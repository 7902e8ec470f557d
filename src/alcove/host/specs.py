"""What the privileged process accepts of a Spec. Pure.

The server has checked it all before; this is the check that still holds when the server is not to
be trusted. One rule: what is not allowed here is refused, never bent into shape.
"""

import re
from typing import Final

from alcove.host.account import USER
from alcove.host.volumes import DISK_MAX_MIB, DISK_MIN_MIB
from alcove.model.errors import Invalid, Unsupported
from alcove.model.workspace import Isolation, NetworkMode, Spec

_HOSTNAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SNAPSHOT: Final = re.compile(r"sn-[a-z2-7]{16}")
_BOUNDS: Final = {
    "cpu_millis": (10, 1_024_000),
    "memory_mib": (16, 64 * 1024 * 1024),
    "disk_mib": (DISK_MIN_MIB, DISK_MAX_MIB),
    "pids": (8, 4_194_304),
}


def check(spec: Spec) -> None:
    """Raises Unsupported for what this host never does, Invalid for what nobody should ask."""
    if spec.isolation is Isolation.MICROVM:
        raise Unsupported(f"the local driver does not offer isolation {spec.isolation} yet")
    if spec.network is NetworkMode.ALLOWLIST:
        raise Unsupported("network mode allowlist is not enforced yet, so it is refused")
    if not _HOSTNAME.fullmatch(spec.hostname):
        raise Invalid(f"hostname: {spec.hostname!r} is not a host name")
    if not USER.fullmatch(spec.user):
        raise Invalid(f"user: {spec.user!r} is not the name of a user")
    if spec.snapshot is not None and not _SNAPSHOT.fullmatch(spec.snapshot):
        raise Invalid(f"snapshot: {spec.snapshot!r} is not the id of a snapshot")
    for name, (low, high) in _BOUNDS.items():
        value: int = getattr(spec.resources, name)
        if not low <= value <= high:
            raise Invalid(f"{name}: {value} is not between {low} and {high}")
