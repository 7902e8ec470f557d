"""Options by which several lists are narrowed."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from alcove.cli.session import complete_workspaces

OfWorkspace = Annotated[
    str | None,
    typer.Option(
        "--workspace", "-w", help="Only of this one.", autocompletion=complete_workspaces
    ),
]
OfOwner = Annotated[str | None, typer.Option("--owner", help="Only of this user's workspaces.")]
Since = Annotated[datetime | None, typer.Option("--since", help="Not before this moment, in UTC.")]
Until = Annotated[datetime | None, typer.Option("--until", help="Before this moment, in UTC.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")]


def in_utc(at: datetime | None) -> datetime | None:
    """As the option was meant."""
    return None if at is None else at.replace(tzinfo=UTC)
