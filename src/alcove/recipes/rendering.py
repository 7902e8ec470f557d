"""What rendering begins with and what it comes to. Values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from alcove.model.template import ParameterValue
from alcove.model.workspace import Isolation, Lifetime, NetworkMode, OnExpiry, OnIdle, Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderRequest:
    """What was asked for; None is "not asked"."""

    name: str
    """The workspace's, for its host name."""
    parameters: Mapping[str, object] = field(default_factory=dict[str, object])
    strings: bool = False
    """Whether the values are texts, to be parsed to the parameters' types."""
    preset: str | None = None
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    repo: str | None = None
    branch: str | None = None
    ttl_s: int | None = None
    ephemeral: bool | None = None
    isolation: Isolation | None = None
    network: NetworkMode | None = None
    cpu_millis: int | None = None
    memory_mib: int | None = None
    disk_mib: int | None = None
    pids: int | None = None
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    on_expiry: OnExpiry | None = None
    on_idle: OnIdle | None = None
    idle_stop_s: int | None = None
    auto_resume: bool | None = None
    owner_name: str = ""
    owner_email: str = ""
    """Both become the author of commits in the clone."""


@dataclass(frozen=True, slots=True)
class Rendered:
    spec: Spec
    lifetime: Lifetime
    parameters: Mapping[str, ParameterValue]
    """Of all declared parameters that have one, defaults included."""
    repo: str | None
    branch: str | None
