"""`alcove key …`: the public SSH keys that let you in."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from alcove.cli import screen
from alcove.cli.device import plain_name
from alcove.cli.screen import Column
from alcove.cli.session import Json, connect
from alcove.sdk.errors import Invalid, NotFound

app = typer.Typer(help="Your public SSH keys.", no_args_is_help=True)
KEY_MAX: Final = 16 * 1024
_USUAL: Final = ("id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub")


@app.command("add")
def add(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="The public half; `-` is stdin. Default: yours."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Default: its comment.")] = None,
    as_json: Json = False,
) -> None:
    """Let in whoever has the private half of a key, as you."""
    text = read_key(file if file is not None else usual())
    comment = text.split(None, 2)[2:]
    with connect() as api:
        made = api.ssh.add_key(name or plain_name(comment[0] if comment else "key"), text)
    if as_json:
        screen.print_json(made)
        return
    screen.say_done(f"added {made.name} ({made.fingerprint})")


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List your keys."""
    with connect() as api:
        keys = list(api.ssh.keys())
    if as_json:
        screen.print_json({"items": keys})
        return
    screen.print_table(
        [
            Column("ID"),
            Column("NAME"),
            Column("FINGERPRINT", 1),
            Column("ADDED", 2),
            Column("USED", 2),
        ],
        [
            (
                key.id,
                key.name,
                key.fingerprint,
                screen.ago(key.created_at),
                screen.ago(key.last_used_at) or "never",
            )
            for key in keys
        ],
        empty="There are no keys. `alcove key add` adds yours; `alcove ssh` needs none.",
    )


@app.command("remove")
def remove(
    ids: Annotated[list[str], typer.Argument(metavar="ID…", help="See `alcove key list`.")],
) -> None:
    """Take keys away; connections that came in by them end within a second."""
    with connect() as api:
        for id_ in ids:
            api.ssh.remove_key(id_)
            screen.say_done(f"removed {id_}")


def usual() -> Path:
    """The key that OpenSSH would take. Raises NotFound."""
    directory = Path.home() / ".ssh"
    for name in _USUAL:
        if (directory / name).exists():
            return directory / name
    raise NotFound(
        f"there is no public key in {directory}: make one with `ssh-keygen -t ed25519`, "
        "or say which file"
    )


def read_key(file: Path) -> str:
    """One line of a `.pub` file. A private key is not even sent. Raises Invalid, NotFound."""
    if str(file) == "-":
        text = sys.stdin.read(KEY_MAX)
    else:
        try:
            with file.open() as opened:
                text = opened.read(KEY_MAX)
        except FileNotFoundError:
            raise NotFound(f"{file} is not there") from None
        except UnicodeDecodeError:
            raise Invalid(f"{file} is no public key") from None
    if "PRIVATE KEY" in text:
        raise Invalid(f"{file} is a private key, which nobody else should see: take {file}.pub")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) != 1:
        raise Invalid(f"{file} is not one public key on one line")
    return lines[0]
