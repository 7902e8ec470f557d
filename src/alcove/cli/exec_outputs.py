"""`alcove exec-outputs …`: what commands without a terminal wrote."""

import base64
import sys
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from alcove.cli import screen
from alcove.cli.filters import Limit, OfOwner, OfWorkspace, Since, Until, in_utc
from alcove.cli.screen import Column
from alcove.cli.session import Json, Yes, connect
from alcove.model.exec_output import shown

if TYPE_CHECKING:
    from alcove.wire.exec_outputs import ExecOutput, KeptStream

app = typer.Typer(help="What commands without a terminal wrote.", no_args_is_help=True)
OutputId = Annotated[str, typer.Argument(metavar="ID", help="As the list says it.")]


class Stream(StrEnum):
    STDOUT = "stdout"
    STDERR = "stderr"


@app.command("list")
def list_(
    workspace: OfWorkspace = None,
    text: Annotated[
        str | None, typer.Option("--text", "-q", help="Only with this in command or output.")
    ] = None,
    owner: OfOwner = None,
    actor: Annotated[str | None, typer.Option("--actor", help="Only what this user ran.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List commands whose output is kept, newest first."""
    with connect() as api:
        listed = api.exec_outputs.list(
            workspace=workspace,
            owner=owner,
            actor=actor,
            since=in_utc(since),
            until=in_utc(until),
            text=text,
        )
        found = list(islice(listed, limit))
    if as_json:
        screen.print_json({"items": found})
        return
    screen.print_table(
        [
            Column("ID"),
            Column("WORKSPACE", 2),
            Column("WHO", 3),
            Column("ENDED", 4),
            Column("EXIT", 1),
            Column("WROTE", 5),
            Column("COMMAND", 6),
        ],
        [
            (
                one.id,
                one.workspace_name or one.workspace,
                one.actor,
                screen.ago(one.at),
                _exit(one),
                screen.size(one.stdout_size + one.stderr_size),
                one.command,
            )
            for one in found
        ],
        empty="Nothing that is kept matches.",
    )


@app.command("show")
def show(
    id: OutputId,
    raw: Annotated[
        Stream | None,
        typer.Option("--raw", help="Only the kept bytes of this stream, exactly as they are."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what one wrote, with what could move the cursor or colour the screen written out.
    Ends with 1 when it is not what the event log says."""
    with connect() as api:
        one = api.exec_outputs.get(id)
    if raw is not None:
        kept = one.stdout if raw is Stream.STDOUT else one.stderr
        sys.stdout.buffer.write(_bytes(kept.head, kept.head_base64))
        if kept.dropped:
            screen.say_warning(f"{screen.size(kept.dropped)} in the middle were not kept")
            sys.stdout.buffer.flush()
        sys.stdout.buffer.write(_bytes(kept.tail, kept.tail_base64))
    elif as_json:
        screen.print_json(one)
    else:
        facts = [
            ("Command", one.command),
            ("Workspace", one.workspace_name or one.workspace),
            ("Owner", one.owner),
            ("Run by", one.actor),
            ("Exit code", _exit(one)),
            ("Took", screen.duration(one.duration_ms / 1000)),
            ("Ended", f"{one.at:%Y-%m-%d %H:%M:%S} UTC"),
            ("Digest", one.digest),
        ]
        screen.print_facts(facts)
        _print("stdout", one.stdout)
        _print("stderr", one.stderr)
    if not one.intact:
        screen.say_warning(f"{id} is not what the event log says that was kept")
        raise typer.Exit(1)


@app.command("delete")
def delete(
    outputs: Annotated[list[str], typer.Argument(metavar="ID…", help="As the list says them.")],
    yes: Yes = False,
) -> None:
    """Delete what is kept of commands; for admins. The event log keeps that they ran."""
    if not yes:
        many = f"the output of {len(outputs)} commands" if len(outputs) > 1 else outputs[0]
        typer.confirm(f"Delete {many} for good?", abort=True)
    with connect() as api:
        for id in outputs:
            api.exec_outputs.delete(id)
            screen.say_done(f"deleted {id}")


def _print(name: str, kept: "KeptStream") -> None:
    if not kept.size:
        return
    screen.answer(f"\n{name} ({screen.size(kept.size)})")
    screen.answer(shown(_bytes(kept.head, kept.head_base64)))
    if kept.dropped:
        screen.answer(f"… {screen.size(kept.dropped)} were not kept …")
        screen.answer(shown(_bytes(kept.tail, kept.tail_base64)))


def _bytes(text: str, exact: str | None) -> bytes:
    return text.encode() if exact is None else base64.b64decode(exact)


def _exit(one: "ExecOutput") -> str:
    return "(left)" if one.exit_code is None else str(one.exit_code)
