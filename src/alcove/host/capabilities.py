"""What this machine can do for workspaces, and for what it cannot, why and what to do about it."""

from typing import TYPE_CHECKING, Final

from alcove.drivers.base import Capabilities, Keeps, Promise
from alcove.model.workspace import Isolation, NetworkMode

if TYPE_CHECKING:
    from alcove.host.ground import Ground


_CONTAINER: Final = Promise(
    pause=Keeps.MEMORY,
    pause_survives_host_restart=False,
    pause_frees_memory=False,
    snapshot=Keeps.FILES,
)


def capabilities(ground: "Ground", *, network_problem: str) -> Capabilities:
    absent = {
        "gvisor": "isolation gvisor is not offered by this version",
        "microvm": "isolation microvm is not offered by this version",
        "allowlist": "network mode allowlist is not enforced by this version",
    }
    if problem := ground.runtimes[Isolation.CONTAINER].problem():
        absent["container"] = problem
    if network_problem:
        absent["open"] = network_problem
    networks = (NetworkMode.NONE,) if network_problem else (NetworkMode.NONE, NetworkMode.OPEN)
    return Capabilities(
        isolation=frozenset(() if "container" in absent else (Isolation.CONTAINER,)),
        networks=frozenset(networks),
        pause=True,
        snapshot=True,
        absent=absent,
        promises={Isolation.CONTAINER: _CONTAINER},
    )
