"""`alcove token …`: tokens for programs."""

from typing import Annotated

import typer

from alcove.cli import screen
from alcove.cli.screen import Column
from alcove.cli.session import Json, connect

app = typer.Typer(help="Tokens for programs.", no_args_is_help=True)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scopes: Annotated[
        list[str] | None,
        typer.Option("--scope", "-s", help="A permission; default: all of yours. Repeatable."),
    ] = None,
    expires_in: Annotated[
        str | None, typer.Option("--expires-in", help="Such as 4h or 30d.")
    ] = None,
    workspace: Annotated[
        str | None, typer.Option("--workspace", "-w", help="The only one it may touch.")
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", help="For a service account (administrators).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a token and print its secret, which is shown this once."""
    with connect() as api:
        made = api.tokens.create(
            name, scopes=scopes or None, expires_in=expires_in, workspace=workspace, user=user
        )
    if as_json:
        screen.print_json(made)
        return
    screen.answer(made.token)
    until = f"until {made.expires_at:%Y-%m-%d %H:%M} UTC" if made.expires_at else "until revoked"
    screen.say(f"Token {made.id} of {made.user}, valid {until}. It is not shown again.")


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List tokens; the secrets are known to nobody."""
    with connect() as api:
        tokens = list(api.tokens.list())
    if as_json:
        screen.print_json({"items": tokens})
        return
    screen.print_table(
        [
            Column("ID"),
            Column("NAME"),
            Column("USER", 2),
            Column("SCOPES", 4),
            Column("WORKSPACE", 3),
            Column("EXPIRES", 1),
            Column("USED", 1),
        ],
        [
            (
                token.id,
                token.name,
                token.user,
                "all" if token.scopes is None else ",".join(token.scopes),
                token.workspace or "",
                screen.ago(token.expires_at) or "never",
                screen.ago(token.last_used_at) or "never",
            )
            for token in tokens
        ],
        empty="There are no tokens. `alcove token create NAME` makes one.",
    )


@app.command("revoke")
def revoke(
    ids: Annotated[list[str], typer.Argument(metavar="ID…", help="See `alcove token list`.")],
) -> None:
    """End tokens at once."""
    with connect() as api:
        for id_ in ids:
            api.tokens.revoke(id_)
            screen.say_done(f"revoked {id_}")
