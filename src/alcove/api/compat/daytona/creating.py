"""What Daytona's clients ask of a new sandbox, in our words. Pure.

Rule: what cannot be held to is refused by its name. Nothing is left out in silence.
"""

import re
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from alcove.api.compat.daytona.shapes import TARGET
from alcove.http.problem import field_errors
from alcove.model.errors import FieldError, Invalid, Unsupported
from alcove.model.workspace import NetworkMode, OnIdle
from alcove.wire.base import Request
from alcove.wire.workspaces import NetworkRequest, NewWorkspace, ResourcesRequest

MINUTES_MAX: Final = 525_600
NEVER: Final = "365d"
"""What "never idle" is said as; nothing lives longer."""
IMAGE_PREFIX: Final = "alcove/"
"""`image="alcove/python"` names our template, which is how a client can send resources."""
_FROM: Final = re.compile(r"FROM\s+(\S+)", re.IGNORECASE)
_CANNOT: Final = {
    "gpu": "there are no GPUs here",
    "gpu_type": "there are no GPUs here",
    "kvm": "virtual machines inside a sandbox are not offered",
    "spot": "there are no spot machines here",
    "volumes": "volumes are not offered; put files in, or begin from a snapshot",
    "secrets": "secrets are not offered; give values in env",
    "network_allow_list": "only all or nothing can be enforced: networkBlockAll, or a template "
    "with an open network",
    "domain_allow_list": "only all or nothing can be enforced: networkBlockAll, or a template "
    "with an open network",
    "outbound_proxy_url": "a proxy for what goes out is not offered",
    "otel_endpoint_override": "telemetry is not sent from sandboxes",
    "linked_sandbox": "sandboxes are not linked here",
    "auto_archive_interval": "there is no archive; a stopped sandbox costs disk only",
    "public": "all ports at once are not made public; share a port, or sign a preview URL",
}

Minutes = Annotated[int, Field(ge=0, le=MINUTES_MAX)]


class Asked(Request):
    """The base of these bodies: camel case, and a field that is null was not given."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class BuildInfo(Asked):
    dockerfile_content: Annotated[str, Field(max_length=1 << 16)]
    context_hashes: list[str] | None = None


class CreateSandbox(Asked):
    """All fields of the clients' model; what they mean here is in `new_workspace`."""

    name: str | None = None
    snapshot: str | None = None
    user: str | None = None
    env: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    public: bool | None = None
    network_block_all: bool | None = None
    kvm: bool | None = None
    network_allow_list: str | None = None
    domain_allow_list: str | None = None
    outbound_proxy_url: str | None = None
    otel_endpoint_override: str | None = None
    target: str | None = None
    cpu: int | None = None
    gpu: int | None = None
    gpu_type: list[str] | None = None
    spot: bool | None = None
    memory: int | None = None
    disk: int | None = None
    auto_stop_interval: Minutes | None = None
    auto_pause_interval: Minutes | None = None
    auto_archive_interval: Minutes | None = None
    auto_delete_interval: Annotated[int, Field(ge=-1, le=MINUTES_MAX)] | None = None
    ttl_minutes: Minutes | None = None
    queue_timeout: int | None = None
    volumes: list[dict[str, Any]] | None = None
    build_info: BuildInfo | None = None
    linked_sandbox: str | None = None
    secrets: list[dict[str, str]] | None = None
    class_: Annotated[str | None, Field(alias="class")] = None


def new_workspace(asked: CreateSandbox, *, source: str, is_template: bool) -> NewWorkspace:
    """`source` is the template or the snapshot that the caller means.

    Raises Unsupported for what cannot be had, and Invalid for a value, both by the field.
    """
    refuse(asked)
    given: dict[str, object] = {"template" if is_template else "snapshot": source}
    for name in ("name", "env", "labels"):
        if (value := getattr(asked, name)) is not None:
            given[name] = value
    if asked.network_block_all:
        given["network"] = NetworkRequest(mode=NetworkMode.NONE)
    if (resources := _resources(asked.cpu, asked.memory, asked.disk)) is not None:
        given["resources"] = resources
    given |= idle(asked.auto_stop_interval, asked.auto_pause_interval)
    if asked.ttl_minutes:
        given["ttl"] = f"{asked.ttl_minutes}m"
    if asked.auto_delete_interval == 0:
        given["ephemeral"] = True
    try:
        return NewWorkspace.model_validate(given)
    except ValidationError as error:
        errors = field_errors(error.errors(include_url=False, include_input=False))
        errors = [FieldError(_theirs(one.field), one.message) for one in errors]
        raise Invalid(f"{errors[0].field}: {errors[0].message}", errors) from None


def source_of(asked: CreateSandbox, *, default: str) -> str:
    """The name of the template or snapshot. Raises Unsupported for an image to be built."""
    if asked.build_info is None:
        return asked.snapshot or default
    lines = [
        line.strip()
        for line in asked.build_info.dockerfile_content.splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]
    named = _FROM.fullmatch(lines[0]) if len(lines) == 1 else None
    if named and named[1].startswith(IMAGE_PREFIX) and not asked.build_info.context_hashes:
        return named[1].removeprefix(IMAGE_PREFIX)
    raise unsupported(
        "buildInfo",
        "images are not built on request; push a template and name it as the snapshot, or "
        f'as the image "{IMAGE_PREFIX}NAME" to give resources with it',
    )


def idle(stop: int | None, pause: int | None) -> dict[str, object]:
    """What the two intervals mean: minutes, 0 for never, None for what the template says."""
    if stop and pause:
        said = "give autoStopInterval or autoPauseInterval, not both"
        raise Invalid(said, [FieldError("autoPauseInterval", said)])
    if pause:
        return {"idle_stop": f"{pause}m", "on_idle": OnIdle.PAUSE}
    if stop:
        return {"idle_stop": f"{stop}m", "on_idle": OnIdle.STOP}
    return {} if stop is None else {"idle_stop": NEVER}


def resources(cpu: int | None, memory: int | None, disk: int | None) -> ResourcesRequest:
    """Cores and GiB. Raises Invalid when nothing is given."""
    found = _resources(cpu, memory, disk)
    if found is None:
        said = "give cpu, memory or disk"
        raise Invalid(said, [FieldError("cpu", said)])
    return found


def refuse(asked: CreateSandbox) -> None:
    """Raises Unsupported for the first thing that cannot be held to."""
    for name, why in _CANNOT.items():
        if getattr(asked, name):
            raise unsupported(to_camel(name), why)
    if asked.target not in (None, "", TARGET):
        raise unsupported("target", f"there is one region, {TARGET!r}; leave it out")
    if asked.class_ not in (None, "container"):
        raise unsupported("class", "the isolation is the template's")
    if (asked.auto_delete_interval or 0) > 0:
        raise unsupported(
            "autoDeleteInterval",
            "0 (deleted when it stops) and -1 are offered; give ttlMinutes for a time",
        )


def unsupported(field: str, why: str) -> Unsupported:
    return Unsupported(f"{field}: {why}")


def _resources(cpu: int | None, memory: int | None, disk: int | None) -> ResourcesRequest | None:
    given: dict[str, object] = {}
    for name, value in (("cpu", cpu), ("memory", memory), ("disk", disk)):
        if value is None:
            continue
        if not 1 <= value <= 4096:
            said = "must be between 1 and 4096"
            raise Invalid(f"{name}: {said}", [FieldError(name, said)])
        given[name] = float(value) if name == "cpu" else f"{value}Gi"
    return ResourcesRequest.model_validate(given) if given else None


def _theirs(path: str) -> str:
    return {"template": "snapshot", "idle_stop": "autoStopInterval"}.get(path, path)
