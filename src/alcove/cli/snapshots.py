"""`alcove snapshot …`, and what goes with it: fork, pause, resume."""

from typing import Annotated

import typer

from alcove.cli import screen
from alcove.cli.outcomes import goal_of, told
from alcove.cli.screen import Column
from alcove.cli.session import Json, NoWait, WorkspaceName, connect
from alcove.cli.workspace_options import NEVER_WORDS

app = typer.Typer(help="Kept states of workspaces.", no_args_is_help=True)


@app.command("take")
def take(
    workspace: WorkspaceName,
    name: Annotated[str | None, typer.Option("--name", help="Else made up.")] = None,
    ttl: Annotated[
        str | None, typer.Option("--ttl", help="Kept for so long: 7d, or never to end.")
    ] = None,
    no_wait: NoWait = False,
    as_json: Json = False,
) -> None:
    """Keep the state of a workspace, which goes on as before. Prints the snapshot's id."""
    from alcove.sdk import NEVER  # noqa: PLC0415

    with connect() as api:
        one = api.workspaces.get(workspace)
        with screen.progress(f"{one.name}: its snapshot is taken"):
            taken = one.snapshot(name, ttl=NEVER if ttl in NEVER_WORDS else ttl, wait=not no_wait)
    if as_json:
        screen.print_json(taken)
        return
    screen.answer(taken.id)
    kept = "with memory" if taken.memory else "files only"
    size = "being taken" if no_wait else f"{taken.size_mib} MiB, {kept}"
    screen.say(f"Snapshot {taken.name} ({size}). `alcove create --snapshot {taken.name}` uses it.")


@app.command("list")
def list_(
    workspace: Annotated[
        str | None, typer.Option("--workspace", "-w", help="Only those taken of this one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List snapshots."""
    with connect() as api:
        found = list(api.snapshots.list(workspace=workspace))
    if as_json:
        screen.print_json({"items": found})
        return
    screen.print_table(
        [
            Column("NAME"),
            Column("STATE"),
            Column("ID", 1),
            Column("TEMPLATE", 3),
            Column("MEMORY", 5),
            Column("MIB", 4),
            Column("CREATED", 2),
            Column("DELETED", 6),
            Column("WHY", 7),
        ],
        [
            (
                one.name,
                one.state,
                one.id,
                f"{one.template} v{one.template_version}",
                "yes" if one.memory else "no",
                str(one.size_mib),
                screen.ago(one.created_at),
                screen.ago(one.expires_at) or "never",
                one.detail,
            )
            for one in found
        ],
        empty="No snapshots. `alcove snapshot take WORKSPACE` takes one.",
    )


@app.command("delete")
def delete(
    snapshots: Annotated[list[str], typer.Argument(metavar="SNAPSHOT…", help="Ids or names.")],
) -> None:
    """Delete snapshots; workspaces that were made of them stay."""
    with connect() as api:
        for ref in snapshots:
            api.snapshots.delete(ref)
            screen.say_done(f"deleted {ref}")


def fork(
    workspace: WorkspaceName,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=100)] = 1,
    name: Annotated[
        str | None, typer.Option("--name", help="Of several, with -1, -2, … Else made up.")
    ] = None,
    no_wait: NoWait = False,
    as_json: Json = False,
) -> None:
    """Make workspaces that begin as this one is now. Prints their names."""
    with connect() as api:
        one = api.workspaces.get(workspace)
        with screen.progress(f"{one.name}: forking"):
            forks = one.fork(count, name=name, wait=not no_wait)
        found = [made.info for made in forks]
    if as_json:
        screen.print_json({"items": found})
        return
    for info in found:
        screen.answer(info.name)


def pause(workspace: WorkspaceName, no_wait: NoWait = False, as_json: Json = False) -> None:
    """Pause a workspace: its processes stand still, their memory is kept."""
    with connect() as api:
        one = api.workspaces.get(workspace).pause(wait=False)
        told(one, None if no_wait else goal_of("paused"), as_json=as_json, verb="is paused")


def resume(workspace: WorkspaceName, no_wait: NoWait = False, as_json: Json = False) -> None:
    """Let a paused workspace go on."""
    with connect() as api:
        one = api.workspaces.get(workspace).resume(wait=False)
        told(one, None if no_wait else goal_of("running"), as_json=as_json, verb="is running")
