"""What this installation is and can do."""

from typing import Literal

from pydantic import Field

from alcove.model.workspace import Isolation, NetworkMode
from alcove.wire.base import Answer


class Promise(Answer):
    """What an isolation keeps: `nothing`, `files`, or `memory` (files, processes and their
    memory)."""

    pause: Literal["nothing", "files", "memory"]
    pause_survives_host_restart: bool
    pause_frees_memory: bool
    snapshot: Literal["nothing", "files", "memory"]


class DriverInfo(Answer):
    """`absent` says, for each thing that it cannot do here, why and what to do about it."""

    name: str
    isolation: list[Isolation]
    networks: list[NetworkMode]
    pause: bool
    snapshot: bool
    absent: dict[str, str]
    promises: dict[str, Promise] = Field(default_factory=dict[str, Promise])
    """By isolation."""


class Server(Answer):
    name: str = "alcove"
    version: str
    api: str = "v2"
    url: str
    isolation_min: Isolation = Isolation.CONTAINER
    """What every workspace gets at least."""
    drivers: list[DriverInfo]


class Health(Answer):
    status: str
    """`ok` or `unavailable`."""
    checks: dict[str, str]
    """Part to `ok` or what is wrong with it."""
