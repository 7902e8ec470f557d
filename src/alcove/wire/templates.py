"""Templates: the catalog, its versions, and pushing one."""

from base64 import b64decode
from datetime import datetime
from typing import Annotated, Any, TypeAlias

from pydantic import Field, StringConstraints

from alcove.model.template import ParameterType
from alcove.model.workspace import Isolation, Kind, NetworkMode
from alcove.wire.base import Answer, Line, Name, Request
from alcove.wire.workspaces import NetworkRequest, Parameters, ResourcesRequest

FILES_MAX = 1000
FilePath: TypeAlias = Annotated[
    str, StringConstraints(max_length=512, pattern=r"^[A-Za-z0-9._@+-][A-Za-z0-9._@+ /-]*$")
]


class TemplateFiles(Request):
    """Paths below the template's directory to their text; binary ones go as `files_base64`."""

    files: Annotated[dict[FilePath, str], Field(max_length=FILES_MAX)] = Field(
        default_factory=dict[str, str]
    )
    files_base64: Annotated[dict[FilePath, str], Field(max_length=FILES_MAX)] = Field(
        default_factory=dict[str, str]
    )


def files_of(request: TemplateFiles) -> dict[str, bytes]:
    """Both kinds of files as bytes. Raises ValueError for what is not base64 or stands twice."""
    files = {path: text.encode() for path, text in request.files.items()}
    for path, text in request.files_base64.items():
        if path in files:
            raise ValueError(f"files_base64.{path}: stands among the files too")
        files[path] = b64decode(text, validate=True)
    return files


class NewTemplate(TemplateFiles):
    """The name is `template.yaml`'s unless it is given here."""

    name: Name | None = None
    message: Line = ""
    promote: bool = True


class NewTemplateVersion(TemplateFiles):
    message: Line = ""
    promote: bool = False


class LintRequest(TemplateFiles):
    name: Name = "template"


class RenderRequest(Request):
    """What a workspace with these parameters would be; nothing is created."""

    version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    parameters: Parameters | None = None
    resources: ResourcesRequest | None = None
    isolation: Isolation | None = None
    network: NetworkRequest | None = None


class TemplateProblem(Answer):
    """`text` is the whole line: `template.yaml:14: cpu: max 16 is over the ceiling 8`."""

    file: str
    line: int | None
    field: str
    message: str
    severity: str
    text: str


class LintAnswer(Answer):
    ok: bool
    """No errors; there may be warnings."""
    problems: list[TemplateProblem]


class TemplateParameter(Answer):
    name: str
    type: ParameterType
    display_name: str
    description: str
    default: Any = None
    required: bool
    mutable: bool
    min: float | None = None
    max: float | None = None
    pattern: str | None = None
    options: list[str]


class TemplatePreset(Answer):
    name: str
    description: str
    parameters: dict[str, Any]


class TemplateResources(Answer):
    """`null` among the ceilings: the template has none of its own."""

    cpu: float | None
    memory_mib: int | None
    disk_mib: int | None
    pids: int | None


class Template(Answer):
    """`active` is the version that new workspaces get; null until one is promoted."""

    name: str
    display_name: str
    description: str
    icon: str
    kind: Kind
    active: int | None
    latest: int
    isolation: Isolation
    network: NetworkMode
    resources: TemplateResources
    ceilings: TemplateResources
    parameters: list[TemplateParameter]
    presets: list[TemplatePreset]
    created_at: datetime
    updated_at: datetime


class TemplateVersion(Answer):
    template: str
    number: int
    active: bool
    digest: str
    message: str
    created_at: datetime
    created_by: str
    warnings: list[TemplateProblem]


class Rendered(Answer):
    """What would be made: a dry run."""

    template: str
    template_version: int
    parameters: dict[str, Any]
    isolation: Isolation
    network: NetworkMode
    resources: TemplateResources
    env: dict[str, str]
    ephemeral: bool
    ttl: str | None
    idle_stop: str | None
    repo: str | None
    branch: str | None
