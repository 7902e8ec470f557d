"""Templates: a versioned recipe with typed parameters and ceilings. Pure values.

`recipes/` reads and checks them; `core/templates.py` stores them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from alcove.model.app import App, Level
from alcove.model.image import Image
from alcove.model.pool import NO_POOL, PoolSettings
from alcove.model.workspace import (
    Isolation,
    Kind,
    NetworkMode,
    OnExpiry,
    OnIdle,
    Resources,
    RootMode,
    Script,
    UserId,
)

ParameterValue: TypeAlias = str | int | float | bool | tuple[str, ...]


class ParameterType(StrEnum):
    STRING = "string"
    NUMBER = "number"
    BOOL = "bool"
    CHOICE = "choice"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One question a template asks."""

    name: str
    type: ParameterType
    display_name: str
    description: str
    default: ParameterValue | None
    required: bool
    mutable: bool
    """Whether it may change after the workspace was created."""
    min: float | None = None
    """Of the number, of a string's characters, or of a list's items; `max` likewise."""
    max: float | None = None
    pattern: str | None = None
    """An RE2 expression that a string, or each item of a list, matches as a whole."""
    options: tuple[str, ...] = ()
    """What a choice, or each item of a list, may be."""


@dataclass(frozen=True, slots=True)
class Preset:
    name: str
    description: str
    parameters: Mapping[str, ParameterValue]


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Nobody gets more, whatever they ask; None means no ceiling of the template's own."""

    cpu_millis: int | None
    memory_mib: int | None
    disk_mib: int | None
    pids: int | None
    ttl_s: int | None
    networks: tuple[NetworkMode, ...] = tuple(NetworkMode)
    """The modes one may ask for. A template that names none allows its own and narrower ones."""
    share: Level = Level.PUBLIC
    """The widest level at which ports may be shared."""


@dataclass(frozen=True, slots=True)
class LifecycleDefaults:
    """Durations in seconds; None means never."""

    ttl_s: int | None
    idle_stop_s: int | None
    runtime_max_s: int | None
    unused_delete_s: int | None
    ephemeral: bool
    on_expiry: OnExpiry = OnExpiry.DELETE
    on_idle: OnIdle = OnIdle.STOP
    auto_resume: bool | None = None
    """None: where it is paused by itself."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A template version, read and checked: everything but the parameters' values."""

    name: str
    display_name: str
    description: str
    icon: str
    kind: Kind
    image: Image
    user: str
    root: RootMode
    isolation: Isolation
    """What a workspace gets that asks for none."""
    resources: Resources
    ceilings: Ceilings
    parameters: tuple[Parameter, ...]
    presets: tuple[Preset, ...]
    env: Mapping[str, str]
    scripts: tuple[Script, ...]
    lifecycle: LifecycleDefaults
    network: NetworkMode
    pool: PoolSettings = NO_POOL
    """Unless an operator sets another."""
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """Path to text: written once, before the first start-up step."""
    isolation_given: bool = True
    """Whether the template says `isolation`, or left it to the installation."""
    isolation_min: Isolation | None = None
    """The least that one may ask for; None: `isolation`, if that is given."""
    apps: tuple[App, ...] = ()


@dataclass(frozen=True, slots=True)
class Template:
    """The catalog entry. `active` is what new workspaces get."""

    name: str
    active: int | None
    latest: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class TemplateVersion:
    """Immutable once pushed."""

    template: str
    number: int
    recipe: Recipe
    digest: str
    """`sha256:…` over the pushed files."""
    message: str
    created_at: datetime
    created_by: UserId
