"""What this installation is and can do."""

from alcove.model.workspace import Isolation, NetworkMode
from alcove.wire.base import Answer


class DriverInfo(Answer):
    """`absent` says, for each thing that it cannot do here, why and what to do about it."""

    name: str
    isolation: list[Isolation]
    networks: list[NetworkMode]
    pause: bool
    snapshot: bool
    absent: dict[str, str]


class Server(Answer):
    name: str = "alcove"
    version: str
    api: str = "v2"
    url: str
    drivers: list[DriverInfo]


class Health(Answer):
    status: str
    """`ok` or `unavailable`."""
    checks: dict[str, str]
    """Part to `ok` or what is wrong with it."""
