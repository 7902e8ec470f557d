"""What a tool is, and what one call of it is given. Knows nothing of the protocol's library."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from alcove.config import Settings
from alcove.core.app import Core
from alcove.core.ports import Link
from alcove.mcp.sessions import UnderWay
from alcove.model.access import Actor, Permission
from alcove.model.workspace import Workspace
from alcove.wire.base import Answer, Request

CALLER: Final = "alcove.mcp.caller"
"""The key of the ASGI scope under which a request carries its Caller."""
ArgumentsT = TypeVar("ArgumentsT", bound=Request)


class LinkUrl(Protocol):
    """Where the bearer of a link to a port goes; the API knows, which is a sibling of this."""

    def __call__(
        self, settings: Settings, link: Link, workspace: Workspace, *, owner: str
    ) -> str: ...


@dataclass(frozen=True, slots=True)
class Caller:
    core: Core
    actor: Actor
    link_url: LinkUrl
    session: str | None
    under_way: UnderWay


@dataclass(frozen=True, slots=True)
class Use:
    """One call: for whom, and how to tell that it goes on."""

    core: Core
    actor: Actor
    progress: Callable[[float, float | None, str], Awaitable[None]]
    """What is done of how much, in seconds, and in words. Nothing happens if nobody asked."""
    link_url: LinkUrl


@dataclass(frozen=True, slots=True)
class Result:
    """`text` is for the model, `answer` the same for programs."""

    text: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class Tool(Generic[ArgumentsT]):
    """`description` says to a model what it does, when to use it, and its bounds."""

    name: str
    title: str
    description: str
    permission: Permission
    """Without which it is not shown; the verb behind it checks for itself."""
    arguments: type[ArgumentsT]
    answer: type[Answer]
    run: Callable[[Use, ArgumentsT], Awaitable[Result]]
    reads_only: bool = False
    destroys: bool = False
    repeatable: bool = False
    reaches_out: bool = False
    """What it runs may speak with the world."""


def input_schema(tool: Tool[Any]) -> Mapping[str, Any]:
    return _untitled(tool.arguments.model_json_schema())


def output_schema(tool: Tool[Any]) -> Mapping[str, Any]:
    return _untitled(tool.answer.model_json_schema(mode="serialization"))


def _untitled(schema: Any) -> Any:
    """Without the titles that pydantic makes of the names, which only cost a model's attention."""
    if isinstance(schema, dict):
        kept = schema.items()  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        return {k: _untitled(v) for k, v in kept if not (k == "title" and isinstance(v, str))}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(schema, list):
        return [_untitled(item) for item in schema]  # pyright: ignore[reportUnknownVariableType]
    return schema
