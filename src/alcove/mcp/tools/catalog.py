"""What sandboxes can be made from."""

from typing import Annotated, Any, Final

from pydantic import Field

from alcove.core import templates
from alcove.core.pages import PageRequest
from alcove.mcp.calls import Result, Tool, Use
from alcove.model.access import Permission
from alcove.model.template import Parameter
from alcove.wire.base import Answer, Request

DESCRIPTION_MAX: Final = 600


class ParameterInfo(Answer):
    name: str
    type: str
    description: str
    default: Any
    required: bool
    options: list[str]


class TemplateInfo(Answer):
    name: str
    display_name: str
    description: str
    kind: str
    network: str
    isolation: str
    parameters: list[ParameterInfo]


class TemplateList(Answer):
    items: list[TemplateInfo]
    next_cursor: str | None


class ListArguments(Request):
    limit: Annotated[int, Field(ge=1, le=100)] = 50
    cursor: Annotated[
        str | None, Field(max_length=512, description="next_cursor of the list before.")
    ] = None


async def list_(use: Use, asked: ListArguments) -> Result:
    page = PageRequest(asked.limit, asked.cursor)
    found = await templates.find(use.core, use.actor, page)
    items = [
        TemplateInfo(
            name=entry.template.name,
            display_name=entry.version.recipe.display_name,
            description=entry.version.recipe.description[:DESCRIPTION_MAX],
            kind=entry.version.recipe.kind,
            network=entry.version.recipe.network,
            isolation=entry.version.recipe.isolation,
            parameters=[_parameter(p) for p in entry.version.recipe.parameters],
        )
        for entry in found.items
        if entry.template.active is not None
    ]
    text = "\n\n".join(_told(item) for item in items) or "There is no template."
    if found.next_cursor:
        text += f"\n\n[more: ask again with cursor {found.next_cursor!r}]"
    return Result(text, TemplateList(items=items, next_cursor=found.next_cursor))


def _parameter(parameter: Parameter) -> ParameterInfo:
    return ParameterInfo(
        name=parameter.name,
        type=parameter.type,
        description=parameter.description[:DESCRIPTION_MAX],
        default=parameter.default,
        required=parameter.required,
        options=list(parameter.options),
    )


def _told(item: TemplateInfo) -> str:
    summary = item.description.strip().partition("\n")[0]
    names = ", ".join(p.name + ("*" if p.required else "") for p in item.parameters)
    said = f"{item.name} ({item.kind}, network {item.network}): {summary}"
    return f"{said}\n  parameters: {names}" if names else said


TOOLS: Final[tuple[Tool[Any], ...]] = (
    Tool(
        name="list_templates",
        title="List templates",
        description=(
            "List the templates that create_sandbox can use, with their parameters (* means "
            "that it must be given). Use it when the default template does not fit the task."
        ),
        permission=Permission.TEMPLATE_READ,
        arguments=ListArguments,
        answer=TemplateList,
        run=list_,
        reads_only=True,
    ),
)
