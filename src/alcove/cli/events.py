"""`alcove logs` and `alcove events`: what is happening, line by line."""

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated

import typer

from alcove.cli import screen
from alcove.cli.filters import Since, Until, in_utc
from alcove.cli.session import JsonLines, WorkspaceName, complete_workspaces, connect

if TYPE_CHECKING:
    from alcove.wire.events import Event

Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")]


def logs(workspace: WorkspaceName, follow: Follow = False, as_json: JsonLines = False) -> None:
    """Show the log of a workspace's image, clone, scripts and agent."""
    with connect() as api:
        for line in api.workspaces.get(workspace).logs(follow=follow):
            if as_json:
                screen.print_json_line(line)
            else:
                screen.answer(f"{line.source}: {line.line}")


def events(
    follow: Follow = False,
    workspace: Annotated[
        str | None,
        typer.Option(
            "--workspace", "-w", help="Only about this one.", autocompletion=complete_workspaces
        ),
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--type", help="Only of this kind: workspace.created, …")
    ] = None,
    actor: Annotated[str | None, typer.Option("--actor", help="Only by this user.")] = None,
    after: Annotated[
        int | None, typer.Option("--after", help="Only above this sequence number.", min=0)
    ] = None,
    since: Since = None,
    until: Until = None,
    as_json: JsonLines = False,
) -> None:
    """Show what happened, oldest first."""
    span = [in_utc(at) for at in (since, until)]
    if follow and any(span):
        raise typer.BadParameter("--since and --until are for what happened already; not with -f")
    with connect() as api:
        if workspace is not None:
            one = api.workspaces.get(workspace)
            found = one.follow_events(after=after or 0) if follow else one.events(after=after)
            found = (
                e
                for e in found
                if fnmatchcase(e.type, kind or "*")
                and (actor or e.actor) == e.actor
                and (span[0] or e.at) <= e.at
                and (span[1] is None or e.at < span[1])
            )
        elif follow:
            found = api.events.follow(after=after, type=kind, actor=actor)
        else:
            found = api.events.list(
                after=after, type=kind, actor=actor, since=span[0], until=span[1]
            )
        for event in found:
            if as_json:
                screen.print_json_line(event)
            else:
                screen.answer(_line(event))


def _line(event: "Event") -> str:
    about = event.owner or event.subject
    name = event.detail.get("name")
    if event.owner and name:
        about = f"{event.owner}/{name}"
    told = " ".join(
        f"{key}={value}" for key, value in event.detail.items() if value not in (None, "", name)
    )
    at = event.at.strftime("%Y-%m-%d %H:%M:%S")
    return f"{event.seq:>6} {at} {event.type:<28} {event.actor:<10} {about} {told}".rstrip()
