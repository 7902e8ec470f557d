"""Options that several commands about workspaces take."""

from enum import StrEnum
from typing import Annotated, Final

import typer

from alcove.cli.session import complete_templates

NEVER_WORDS: Final = frozenset({"never", "none"})


class IsolationOption(StrEnum):
    CONTAINER = "container"
    GVISOR = "gvisor"
    MICROVM = "microvm"


class NetworkOption(StrEnum):
    NONE = "none"
    ALLOWLIST = "allowlist"
    OPEN = "open"


Parameter = Annotated[
    list[str] | None,
    typer.Option("--parameter", "-p", metavar="KEY=VALUE", help="See `template show`."),
]
Label = Annotated[list[str] | None, typer.Option("--label", "-l", metavar="KEY=VALUE")]


class OnExpiryOption(StrEnum):
    DELETE = "delete"
    PAUSE = "pause"


class OnIdleOption(StrEnum):
    STOP = "stop"
    PAUSE = "pause"


OnExpiry = Annotated[
    OnExpiryOption | None, typer.Option("--on-expiry", help="What the end of --ttl does.")
]
OnIdle = Annotated[OnIdleOption | None, typer.Option("--on-idle", help="What --idle-stop does.")]
IdleStop = Annotated[
    str | None, typer.Option("--idle-stop", help="Stopped when unused so long: 30m.")
]
AutoResume = Annotated[
    bool | None,
    typer.Option("--auto-resume/--no-auto-resume", help="Whether use wakes it when paused."),
]
TemplateToMake = Annotated[
    str | None,
    typer.Option("--template", "-t", help="What to make.", autocompletion=complete_templates),
]
Isolation = Annotated[
    IsolationOption | None, typer.Option("--isolation", help="Refused if not to be had.")
]
Ephemeral = Annotated[
    bool | None, typer.Option("--ephemeral/--keep", help="Whether stopping deletes it.")
]
FromSnapshot = Annotated[
    str | None, typer.Option("--snapshot", help="Begin from this instead of a template.")
]
