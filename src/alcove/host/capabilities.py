"""What this machine can do for workspaces, and for what it cannot, why and what to do about it."""

from typing import TYPE_CHECKING, Final

from alcove.drivers.base import Capabilities, Keeps, Promise
from alcove.model.workspace import Isolation, NetworkMode

if TYPE_CHECKING:
    from alcove.host.ground import Ground


_PROMISES: Final = {
    Isolation.CONTAINER: Promise(
        pause=Keeps.MEMORY,
        pause_survives_host_restart=False,
        pause_frees_memory=False,
        snapshot=Keeps.FILES,
    ),
    Isolation.GVISOR: Promise(
        pause=Keeps.MEMORY,
        pause_survives_host_restart=True,
        pause_frees_memory=True,
        snapshot=Keeps.MEMORY,
    ),
}


def capabilities(ground: "Ground", *, network_problem: str) -> Capabilities:
    absent = {
        "microvm": "isolation microvm is not offered by this version",
        "allowlist": "network mode allowlist is not enforced by this version",
    }
    present: dict[Isolation, str] = {}
    for isolation, runtime in ground.runtimes.items():
        if problem := runtime.problem():
            absent[isolation] = problem
        else:
            present[isolation] = runtime.version()
    if network_problem:
        absent["open"] = network_problem
    networks = (NetworkMode.NONE,) if network_problem else (NetworkMode.NONE, NetworkMode.OPEN)
    return Capabilities(
        isolation=frozenset(present),
        networks=frozenset(networks),
        pause=True,
        snapshot=True,
        absent=absent,
        promises={i: _PROMISES[i] for i in present},
        runtimes=present,
    )
