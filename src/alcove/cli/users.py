"""`alcove user …`: people and service accounts."""

import sys
from enum import StrEnum
from getpass import getpass
from typing import Annotated

import typer

from alcove.cli import screen
from alcove.cli.screen import Column
from alcove.cli.session import Json, connect
from alcove.sdk.errors import Invalid

app = typer.Typer(help="People and service accounts.", no_args_is_help=True)
UserName = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.")]


class RoleOption(StrEnum):
    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    AUDITOR = "auditor"


@app.command("create")
def create(
    name: UserName,
    role: Annotated[RoleOption, typer.Option("--role", help="What they may do.")] = (
        RoleOption.MEMBER
    ),
    email: Annotated[str | None, typer.Option("--email", help="Author of their commits.")] = None,
    display_name: Annotated[
        str | None, typer.Option("--display-name", help="As people know them.")
    ] = None,
    service: Annotated[
        bool, typer.Option("--service", help="A service account: tokens, no password.")
    ] = False,
    password: Annotated[
        bool, typer.Option("--password", help="Ask for a password (or read a line of stdin).")
    ] = False,
    as_json: Json = False,
) -> None:
    """Add a user. Without a password they sign in by a link."""
    secret = _new_password(name) if password else None
    with connect() as api:
        made = api.users.create(
            name,
            role=role.value,
            email=email,
            display_name=display_name,
            service=service or None,
            password=secret,
        )
    if as_json:
        screen.print_json(made)
    else:
        kind = "service account" if made.service else made.role
        screen.say_done(f"added {made.name} ({kind})")


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List users."""
    with connect() as api:
        users = list(api.users.list())
    if as_json:
        screen.print_json({"items": users})
        return
    screen.print_table(
        [
            Column("NAME"),
            Column("ROLE"),
            Column("STATE", 1),
            Column("DISPLAY NAME", 3),
            Column("EMAIL", 2),
            Column("CREATED", 4),
        ],
        [
            (
                user.name,
                f"{user.role} (service)" if user.service else user.role,
                "disabled" if user.disabled else "active",
                user.display_name,
                user.email,
                screen.ago(user.created_at),
            )
            for user in users
        ],
        empty="There are no users that you may see.",
    )


@app.command("disable")
def disable(name: UserName) -> None:
    """End a user's sessions and tokens at once; their workspaces stay."""
    with connect() as api:
        api.users.disable(name)
    screen.say_done(f"disabled {name}")


@app.command("enable")
def enable(name: UserName) -> None:
    """Let a disabled user in again."""
    with connect() as api:
        api.users.enable(name)
    screen.say_done(f"enabled {name}")


@app.command("passwd")
def passwd(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Default: you.")] = None,
) -> None:
    """Set a password. Asks for it, or reads a line of stdin."""
    with connect() as api:
        me = api.users.me().name
        name = name or me
        current = getpass("Your password now: ") if name == me and sys.stdin.isatty() else None
        api.users.set_password(name, _new_password(name), current=current or None)
    screen.say_done(f"changed the password of {name}")


def _new_password(name: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline(1024).rstrip("\r\n")
    first = getpass(f"New password for {name}: ")
    if getpass("Once more: ") != first:
        raise Invalid("the two passwords are not the same; nothing was changed")
    return first
