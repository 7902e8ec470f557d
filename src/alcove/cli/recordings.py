"""`alcove recordings …`: find, replay, check and delete what terminals showed."""

import json
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from alcove.cli import screen
from alcove.cli.filters import Limit, OfOwner, OfWorkspace, Since, Until, in_utc
from alcove.cli.replay import Harmless
from alcove.cli.screen import Column
from alcove.cli.session import Json, Yes, connect

if TYPE_CHECKING:
    from alcove.wire.recordings import Recording

app = typer.Typer(help="What terminals showed.", no_args_is_help=True)
RESET: Final = "\x1b[0m\x1b[?25h\x1b[?1049l\x1b[?1000;1002;1003;1006l\x1b[?2004l\x1b(B\r\n"
"""What a recording may have left on: colours, a hidden cursor, the other screen, the mouse."""
LINE_MAX: Final = 8 << 20

RecordingId = Annotated[str, typer.Argument(metavar="ID", help="A recording's id.")]


@app.command("list")
def list_(
    workspace: OfWorkspace = None,
    text: Annotated[
        str | None, typer.Option("--text", "-q", help="Only where this was shown.")
    ] = None,
    owner: OfOwner = None,
    actor: Annotated[
        str | None, typer.Option("--actor", help="Only of terminals this user sat at.")
    ] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="exec, ssh or terminal.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List recordings, newest first."""
    with connect() as api:
        listed = api.recordings.list(
            workspace=workspace,
            owner=owner,
            actor=actor,
            kind=kind,
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
            Column("STATE", 1),
            Column("WORKSPACE", 2),
            Column("WHO", 3),
            Column("KIND", 5),
            Column("BEGAN", 4),
            Column("LENGTH", 6),
            Column("WHAT", 7),
        ],
        [
            (
                one.id,
                one.state,
                one.workspace_name or one.workspace,
                one.actor,
                one.kind,
                screen.ago(one.started_at),
                _length(one),
                one.title,
            )
            for one in found
        ],
        empty="No recordings match.",
    )


@app.command("show")
def show(id: RecordingId, as_json: Json = False) -> None:
    """Show what is known of one, and the commands that its shell marked."""
    with connect() as api:
        one = api.recordings.get(id)
        commands = api.recordings.commands(id)
    if as_json:
        screen.print_json({"recording": one, "commands": commands})
        return
    facts = [
        ("What", one.title),
        ("State", f"{one.state} ({one.detail})" if one.detail else str(one.state)),
        ("Workspace", one.workspace_name or one.workspace),
        ("Owner", one.owner),
        ("At the terminal", one.actor),
        ("Kind", str(one.kind)),
        ("Began", f"{one.started_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("Length", _length(one)),
        ("Size", screen.size(one.size)),
        ("Server", one.server),
        ("Digest", one.digest),
    ]
    screen.print_facts([fact for fact in facts if fact[1]])
    for command in commands:
        ended = "" if command.exit_code is None else f"  [exit {command.exit_code}]"
        screen.answer(f"{command.at:10.1f}s  {command.text or '(not said)'}{ended}")


@app.command("play")
def play(
    id: RecordingId,
    speed: Annotated[float, typer.Option("--speed", "-s", min=0.1, max=100)] = 1.0,
    idle: Annotated[
        float, typer.Option("--idle", "-i", min=0, help="No pause is longer, in seconds.")
    ] = 2.0,
) -> None:
    """Replay one in this terminal; Ctrl-C ends it. What it shows is passed to the terminal, which
    must bear it; what would do more than draw (titles, the clipboard, questions) is left out."""
    out, drawn = sys.stdout, Harmless()
    with connect() as api, api.recordings.open(id) as body:
        at = 0.0
        try:
            for when, kind, data in events(body):
                time.sleep(min(idle, max(0.0, when - at)) / speed)
                at = when
                if kind == "o":
                    out.write(drawn.feed(data))
                    out.flush()
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        finally:
            if out.isatty():
                out.write(RESET)
                out.flush()


@app.command("download")
def download(
    id: RecordingId,
    file: Annotated[
        Path | None, typer.Argument(help="Where to (ID.cast); - is standard output.")
    ] = None,
) -> None:
    """Save one as an asciicast file."""
    with connect() as api:
        if file is not None and str(file) == "-":
            with api.recordings.open(id) as body:
                for piece in body:
                    sys.stdout.buffer.write(piece)
            return
        target = file or Path(f"{Path(id).name}.cast")
        size = api.recordings.download(id, target)
    screen.say_done(f"{target}: {screen.size(size)}")


@app.command("verify")
def verify(id: RecordingId, as_json: Json = False) -> None:
    """Compare one with the digests in the event log. Ends with 1 when it was changed."""
    with connect() as api:
        proof = api.recordings.verify(id)
    if as_json:
        screen.print_json(proof)
    elif proof.intact:
        more = f", {screen.size(proof.unsealed)} not sealed yet" if proof.unsealed else ""
        screen.say_done(f"{id} is as it was written: {proof.chunks} chunks{more}")
        screen.answer(proof.head)
    else:
        screen.say_warning(
            f"{id} is not as it was written: {proof.broken} "
            f"(chunk {proof.chunk}, from byte {proof.offset})"
        )
    if not proof.intact:
        raise typer.Exit(1)


@app.command("delete")
def delete(
    recordings: Annotated[list[str], typer.Argument(metavar="ID…", help="Recordings' ids.")],
    yes: Yes = False,
) -> None:
    """Delete recordings; for admins. The event log keeps that they were there."""
    if not yes:
        many = f"{len(recordings)} recordings" if len(recordings) > 1 else recordings[0]
        typer.confirm(f"Delete {many} for good?", abort=True)
    with connect() as api:
        for id in recordings:
            api.recordings.delete(id)
            screen.say_done(f"deleted {id}")


def events(body: Iterator[bytes]) -> Iterator[tuple[float, str, str]]:
    """The events of an asciicast; what is none is left out."""
    held = b""
    for piece in body:
        *lines, held = (held + piece).split(b"\n")
        held = held[-LINE_MAX:]
        for line in lines:
            try:
                said: object = json.loads(line)
            except ValueError:
                continue
            match said:
                case [float() | int() as at, str() as kind, str() as data]:
                    yield float(at), kind, data
                case _:
                    pass


def _length(one: "Recording") -> str:
    if one.ended_at is None:
        return "live"
    return screen.duration((one.ended_at - one.started_at).total_seconds())
