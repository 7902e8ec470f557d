"""What this machine can do for workspaces, and for what it cannot, why and what to do about it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from alcove.drivers.base import Capabilities
from alcove.model.workspace import Isolation, NetworkMode

if TYPE_CHECKING:
    from alcove.host.ground import Ground


def capabilities(ground: "Ground", *, network_problem: str) -> Capabilities:
    absent = {
        "gvisor": "isolation gvisor is not offered by this version",
        "microvm": "isolation microvm is not offered by this version",
        "allowlist": "network mode allowlist is not enforced by this version",
        "pause": "pausing is not offered by this version",
        "snapshot": "snapshots are not offered by this version",
    }
    if problem := _container_problem(ground):
        absent["container"] = problem
    if network_problem:
        absent["open"] = network_problem
    networks = (NetworkMode.NONE,) if network_problem else (NetworkMode.NONE, NetworkMode.OPEN)
    return Capabilities(
        isolation=frozenset(() if "container" in absent else (Isolation.CONTAINER,)),
        networks=frozenset(networks),
        pause=False,
        snapshot=False,
        absent=absent,
    )


def _container_problem(ground: "Ground") -> str:
    if ground.runtime.program is None:
        return "no OCI runtime is installed; apt-get install runc"
    if not Path("/dev/loop-control").exists():
        return "there are no loop devices; modprobe loop"
    release = tuple(int(n) for n in os.uname().release.split("-")[0].split(".")[:2])
    if release < (5, 19):
        return (
            f"Linux {os.uname().release} cannot map the ids of overlay layers; 5.19 or later can"
        )
    return ""
