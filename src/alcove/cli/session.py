"""A connection for one command, and what options have in common. Loads the SDK when asked."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, cast

import typer

if TYPE_CHECKING:
    from types import ModuleType

    from alcove.sdk import Alcove

COMPLETION_TIMEOUT_S: Final = 1.5

Json = Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")]
JsonLines = Annotated[bool, typer.Option("--json", help="One JSON document per line.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return at once.")]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Where the server keeps its data.")
]


def connect(url: str | None = None, token: str | None = None) -> "Alcove":
    """Else the server that `ALCOVE_URL` or `alcove login` names. Use it as a context manager."""
    return _client()(url, token)


def prepare() -> None:
    """Before an HTTP client is loaded: it takes time, and httpx half of it for a command line of
    its own that it can do without (an import that fails is what it expects there)."""
    sys.modules.setdefault("httpx._main", cast("ModuleType", None))


def _client() -> "type[Alcove]":
    prepare()
    from alcove.sdk import Alcove  # noqa: PLC0415

    return Alcove


def pairs(values: Sequence[str], *, option: str) -> dict[str, str]:
    """`KEY=VALUE` options as a mapping. Raises typer.BadParameter."""
    found: dict[str, str] = {}
    for value in values:
        key, equals, rest = value.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"{value!r} is not KEY=VALUE", param_hint=option)
        found[key] = rest
    return found


def complete_workspaces(incomplete: str) -> list[str]:
    """Names for the shell's completion; none rather than an error, and none that takes long."""
    return _names("workspaces", incomplete)


def complete_templates(incomplete: str) -> list[str]:
    return _names("templates", incomplete)


def _names(resource: str, incomplete: str) -> list[str]:
    from itertools import islice  # noqa: PLC0415

    try:
        with _client()(timeout_s=COMPLETION_TIMEOUT_S, retries=0) as api:
            found = api.workspaces.list() if resource == "workspaces" else api.templates.list()
            names = [item.name for item in islice(found, 200)]
    except Exception:
        # Whatever is wrong, a shell that completes a word is no place to say so.
        return []
    return [name for name in names if name.startswith(incomplete)]


WorkspaceName = Annotated[
    str,
    typer.Argument(
        metavar="WORKSPACE", help="Its name or id.", autocompletion=complete_workspaces
    ),
]
TemplateName = Annotated[
    str,
    typer.Argument(metavar="TEMPLATE", help="Its name.", autocompletion=complete_templates),
]
