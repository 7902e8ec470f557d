"""Workspaces: the three bodies that create one, changes, and the answer."""

import math
from datetime import datetime
from typing import Annotated, Any, Final, TypeAlias, cast

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from alcove.model.workspace import (
    Desired,
    Isolation,
    Kind,
    NetworkMode,
    OnExpiry,
    OnIdle,
    Phase,
    StartedFrom,
)
from alcove.wire.base import (
    Answer,
    Branch,
    Duration,
    Env,
    Labels,
    LongText,
    Name,
    Request,
    Size,
    Url,
    UserName,
    plain_text,
)
from alcove.wire.ports import Port

Scalar: TypeAlias = bool | int | float | str
TEXT_MAX: Final = 65536
LIST_MAX: Final = 256
INTEGER_MAX: Final = 2**53


def _value(value: object) -> Scalar | list[str]:
    """One parameter's value. A validator of our own, so that an error is one sentence about
    the field and not one for each member of a union."""
    match value:
        case bool():
            return value
        case int() if -INTEGER_MAX <= value <= INTEGER_MAX:
            return value
        case float() if math.isfinite(value):
            return value
        case str():
            return plain_text(value, length_max=TEXT_MAX)
        case list() | tuple():
            items = cast("list[object]", value)
            if len(items) > LIST_MAX or not all(isinstance(item, str) for item in items):
                raise ValueError(f"must be a list of at most {LIST_MAX} texts")
            return [plain_text(str(item), length_max=TEXT_MAX) for item in items]
        case int() | float():
            raise ValueError("is too large a number")
        case _:
            raise ValueError("must be text, a number, true or false, or a list of texts")


def _rich(value: object) -> object:
    """Coder's two forms as one map of texts."""
    if isinstance(value, list):
        pairs: dict[object, object] = {}
        for item in cast("list[object]", value):
            if not isinstance(item, dict) or set(cast("dict[object, object]", item)) != {
                "name",
                "value",
            }:
                raise ValueError('must be a map, or a list of {"name": …, "value": …}')
            pair = cast("dict[str, object]", item)
            if not isinstance(pair["name"], str):
                raise ValueError("a name must be text")
            if pair["name"] in pairs:
                raise ValueError(f"{pair['name'][:64]!r} stands there twice")
            pairs[pair["name"]] = pair["value"]
        value = pairs
    if not isinstance(value, dict):
        raise ValueError('must be a map, or a list of {"name": …, "value": …}')
    return {k: _as_text(v) for k, v in cast("dict[object, object]", value).items()}


def _as_text(value: object) -> object:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case _:
            return value


ParameterName: TypeAlias = Annotated[
    str, StringConstraints(max_length=64, pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")
]
Value: TypeAlias = Annotated[
    Scalar | list[str],
    PlainValidator(_value),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "boolean"},
                {"type": "number"},
                {"type": "string", "maxLength": TEXT_MAX},
                {"type": "array", "items": {"type": "string"}, "maxItems": LIST_MAX},
            ]
        }
    ),
]
Parameters: TypeAlias = Annotated[dict[ParameterName, Value], Field(max_length=128)]
RichParameters: TypeAlias = Annotated[
    dict[ParameterName, LongText],
    BeforeValidator(_rich),
    Field(max_length=128),
    WithJsonSchema(
        {
            "anyOf": [
                {
                    "type": "object",
                    "additionalProperties": {"type": ["string", "number", "boolean"]},
                },
                {
                    "type": "array",
                    "maxItems": 128,
                    "items": {
                        "type": "object",
                        "properties": {"name": {"type": "string"}, "value": {"type": "string"}},
                        "required": ["name", "value"],
                        "additionalProperties": False,
                    },
                },
            ]
        }
    ),
]
"""A map, or Coder's list of names and text values; a map in Python."""


SnapshotRef: TypeAlias = Annotated[
    str, StringConstraints(max_length=63, pattern=r"^[a-z0-9][a-z0-9._-]*$")
]
FilePath: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=4096, pattern=r"^[^\x00]+$")
]
Files: TypeAlias = Annotated[dict[FilePath, str], Field(max_length=256)]


class NetworkRequest(Request):
    """`allow` goes with mode `allowlist` only."""

    mode: NetworkMode
    allow: Annotated[
        list[Annotated[str, StringConstraints(max_length=253)]], Field(max_length=256)
    ] = Field(default_factory=list[str])


class ResourcesRequest(Request):
    """What the template's ceilings allow; what is left out is the template's default."""

    cpu: Annotated[float, Field(gt=0, le=4096)] | None = None
    memory: Size | None = None
    disk: Size | None = None
    pids: Annotated[int, Field(ge=16, le=4194304)] | None = None


class NewWorkspace(Request):
    """Name the template by `template` (or `template_id`); everything else has a default.

    `rich_parameters` is what Coder's clients send: a map or a list of names and text values.
    `repo`, `branch` and `ttl` (or `ttl_hours`) mean the same here and among the parameters.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"template": "python", "name": "api", "parameters": {"cpu": 2}, "ttl": "4h"},
                {
                    "template": "ai-agent-sandbox",
                    "ttl": "4h",
                    "parameters": {"repo": "https://git.example.com/api.git", "task": "Fix #12"},
                },
                {
                    "template_id": "ai-agent-sandbox",
                    "name": "agent-task-4821",
                    "rich_parameters": {"branch": "main", "ttl_hours": "4"},
                },
            ]
        }
    )

    template: Name | None = None
    template_id: Name | None = None
    template_version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """Default: the promoted version."""
    name: Name | None = None
    """Made up when absent."""
    owner: UserName | None = None
    """Somebody else: for administrators."""
    parameters: Parameters | None = None
    rich_parameters: RichParameters | None = None
    ttl: Duration | None = None
    """From creation to deletion."""
    ttl_hours: Annotated[float, Field(gt=0, le=87600)] | None = None
    ephemeral: bool | None = None
    isolation: Isolation | None = None
    resources: ResourcesRequest | None = None
    env: Env | None = None
    repo: Url | None = None
    branch: Branch | None = None
    labels: Labels | None = None
    network: NetworkRequest | None = None
    snapshot: SnapshotRef | None = None
    """Id or own name of a snapshot to begin from, instead of a template."""
    files: Files | None = None
    """Small files to have in it from the start: path to text; `~` is the home."""
    on_expiry: OnExpiry | None = None
    """What happens when the `ttl` is over: `delete` (the default) or `pause`."""
    idle_stop: Duration | None = None
    """How long nobody may use it before `on_idle` happens."""
    on_idle: OnIdle | None = None
    auto_resume: bool | None = None
    """Whether the next request wakes it when it is paused. Default: with `on_expiry` or
    `on_idle` `pause`."""

    @model_validator(mode="after")
    def _one_of_each(self) -> "NewWorkspace":
        named = [self.template, self.template_id, self.snapshot]
        if sum(name is not None for name in named) != 1:
            raise ValueError("template: name exactly one of template, template_id and snapshot")
        if self.parameters is not None and self.rich_parameters is not None:
            raise ValueError("rich_parameters: give parameters or rich_parameters, not both")
        if self.ttl is not None and self.ttl_hours is not None:
            raise ValueError("ttl_hours: give ttl or ttl_hours, not both")
        return self


class WorkspaceChange(Request):
    """Only what is given changes. `ttl: null` takes the time to live away."""

    name: Name | None = None
    labels: Labels | None = None
    ttl: Duration | None = None
    """From now to deletion."""
    parameters: Parameters | None = None
    """Only these change; the others stay."""
    template_version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    resources: ResourcesRequest | None = None
    """Limits of CPU, memory and processes change at once where the driver can."""
    on_expiry: OnExpiry | None = None
    idle_stop: Duration | None = None
    on_idle: OnIdle | None = None
    auto_resume: bool | None = None


class WorkspaceUsage(Answer):
    """What it uses now; `cpu_seconds` grows within one start."""

    cpu_seconds: float
    memory_mib: int
    disk_mib: int


class Workspace(Answer):
    """`phase` says how far it is, `reason` why, `health` how its start-up went."""

    id: str
    name: str
    owner: str
    kind: Kind
    template: str
    template_version: int
    phase: Phase
    desired: Desired
    reason: str
    health: str
    isolation: Isolation
    parameters: dict[str, Any]
    labels: dict[str, str]
    repo: str | None
    branch: str | None
    ephemeral: bool
    created_at: datetime
    started_at: datetime | None
    last_used_at: datetime
    expires_at: datetime | None
    stop_at: datetime | None
    node: str | None
    ports: list[Port]
    urls: dict[str, str]
    usage: WorkspaceUsage | None
    on_expiry: OnExpiry
    auto_resume: bool
    started: StartedFrom | None
    """How it came to run at first: `cold`, `pool` or `snapshot`; null before it did."""
    started_why: str
    """Why it did not come from the pool, where the template has one."""
    generation: int
    """Goes up with each change of what is wanted."""
