"""Pools: started workspaces that nobody owns yet. Pure values and rules.

What a claim changes, and what it cannot change, is decided here alone.
"""

from typing import Final

from alcove.model.workspace import Isolation, NetworkMode, Spec, UserId

KEEPER: Final = UserId("pool")
"""Owns the members of all pools; cannot sign in."""


def pool_key(template: str, version: int, isolation: Isolation) -> str:
    """Names a pool: members of one key are alike, whoever started them."""
    return f"{template}@{version}/{isolation}"


def why_cold(member: Spec, wanted: Spec) -> str | None:
    """Why a member of this Spec cannot become the wanted workspace; None if it can.

    Everything else is given at the claim: environment, identity, clone, scripts and files by
    `/init`; host name, CPU, memory, process limit and network mode by the driver's `adopt`.
    """
    fixed = (
        ("image", member.image.key, wanted.image.key),
        ("isolation", member.isolation, wanted.isolation),
        ("root", member.root, wanted.root),
        ("user", member.user, wanted.user),
    )
    for name, has, wants in fixed:
        if has != wants:
            return f"another {name} than the pool's ({has})"
    if wanted.snapshot is not None:
        return "it begins from a snapshot"
    if wanted.resources.disk_mib != member.resources.disk_mib:
        return f"another disk size than the pool's ({member.resources.disk_mib} MiB)"
    if wanted.isolation is Isolation.GVISOR and wanted.network is not member.network:
        return f"another network mode than the pool's ({member.network}), under gvisor"
    if NetworkMode.ALLOWLIST in (member.network, wanted.network) and (
        wanted.network is not member.network
    ):
        return f"another network mode than the pool's ({member.network})"
    return None
