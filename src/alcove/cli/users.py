"""`alcove user …`: people and service accounts."""

import sys
from enum import StrEnum
from getpass import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from alcove.cli import screen
from alcove.cli.screen import Column
from alcove.cli.session import Json, connect
from alcove.sdk.errors import Invalid

if TYPE_CHECKING:
    from alcove.wire.users import User

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


@app.command("link")
def link(name: UserName, as_json: Json = False) -> None:
    """Print a URL that signs a user in, once, within ten minutes (administrators)."""
    with connect() as api:
        made = api.users.sign_in_link(name)
    if as_json:
        screen.print_json(made)
    else:
        screen.answer(made.url)


@app.command("disable")
def disable(name: UserName, as_json: Json = False) -> None:
    """End a user's sessions and tokens at once; their workspaces stay."""
    with connect() as api:
        changed = api.users.disable(name)
    _told(changed, "disabled", as_json=as_json)


@app.command("enable")
def enable(name: UserName, as_json: Json = False) -> None:
    """Let a disabled user in again."""
    with connect() as api:
        changed = api.users.enable(name)
    _told(changed, "enabled", as_json=as_json)


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


def _told(user: "User", what: str, *, as_json: bool) -> None:
    if as_json:
        screen.print_json(user)
    else:
        screen.say_done(f"{what} {user.name}")


def _new_password(name: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline(1024).rstrip("\r\n")
    first = getpass(f"New password for {name}: ")
    if getpass("Once more: ") != first:
        raise Invalid("the two passwords are not the same; nothing was changed")
    return first
