"""`alcove sessions`: who is connected to workspaces now, and ending a connection."""

from typing import TYPE_CHECKING, Annotated

import typer

from alcove.cli import screen
from alcove.cli.screen import Column
from alcove.cli.session import Json, complete_workspaces, connect

if TYPE_CHECKING:
    from alcove.wire.live_sessions import LiveSession

app = typer.Typer(help="Who is connected to workspaces now.", invoke_without_command=True)


@app.callback()
def list_(
    ctx: typer.Context,
    workspace: Annotated[
        str | None,
        typer.Option(
            "--workspace", "-w", help="Only to this one.", autocompletion=complete_workspaces
        ),
    ] = None,
    everybody: Annotated[
        bool, typer.Option("--all", "-a", help="Everybody's that you may see.")
    ] = False,
    kind: Annotated[
        str | None, typer.Option("--kind", help="ssh, terminal, exec or tunnel.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List your open connections to workspaces, or with --all everybody's that you may see."""
    if ctx.invoked_subcommand is not None:
        return
    user = None if everybody or workspace else "me"
    with connect() as api:
        found = list(api.sessions.list(workspace=workspace, user=user, kind=kind))
    if as_json:
        screen.print_json({"items": found})
        return
    screen.print_table(
        [
            Column("ID"),
            Column("WORKSPACE"),
            Column("USER", 1),
            Column("FROM", 2),
            Column("SINCE", 1),
            Column("WHAT", 3),
        ],
        [
            (
                one.id,
                f"{one.owner}/{one.workspace.name}",
                one.user,
                one.address,
                screen.ago(one.began_at),
                what(one),
            )
            for one in found
        ],
        empty="Nobody is connected.",
    )


@app.command("end")
def end(
    ids: Annotated[list[str], typer.Argument(metavar="ID…", help="See `alcove sessions`.")],
) -> None:
    """End connections at once. What runs in a terminal goes on; a command is killed."""
    with connect() as api:
        for id_ in ids:
            api.sessions.end(id_)
            screen.say_done(f"ended {id_}")


def what(session: "LiveSession") -> str:
    """What it is for, in a few words."""
    detail = session.detail
    match session.kind:
        case "ssh":
            many = (detail.channels or {}).items()
            open_ = ", ".join(f"{count} {kind}" for kind, count in many) or "nothing open"
            return f"by {detail.method}: {open_}"
        case "terminal":
            return f"terminal {detail.terminal}"
        case "exec":
            return detail.command or ""
        case _:
            return f"port {detail.port}"
