"""Signing in: where the server is, and the token for it. At a terminal that goes through a
browser; else a token is read from stdin or a file. It is never an argument to leave in a shell's
history."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alcove.cli import device, screen
from alcove.cli.session import Json, connect
from alcove.config import client
from alcove.sdk.credentials import URL_DEFAULT, Credentials, is_loopback, normal_url
from alcove.sdk.errors import AlcoveError, Invalid, Unauthenticated

if TYPE_CHECKING:
    from alcove.wire.users import Me

_TOKEN_MAX = 4096


def login(
    url: Annotated[str | None, typer.Argument(metavar="[URL]", help="The server.")] = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            metavar="TOKEN|-",
            help="The token; `-` reads it from stdin. Prefer that, or the browser: "
            "others on this machine can see a command's arguments.",
        ),
    ] = None,
    token_stdin: Annotated[
        bool, typer.Option("--token-stdin", help="Read the token from stdin.")
    ] = False,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="A file that holds the token.")
    ] = None,
    browser: Annotated[
        bool,
        typer.Option("--browser/--no-browser", help="Whether to open one; the address is shown."),
    ] = True,
    as_json: Json = False,
) -> None:
    """Sign in to a server, and make it the one that commands speak to.

    At a terminal it shows a code, which you approve in a browser on any machine. Elsewhere it
    reads a token from stdin: `alcove token create` makes one, where one is signed in.
    """
    found = client()
    stored = Credentials(found.config_dir)
    server = normal_url(url or found.url or stored.current_url() or URL_DEFAULT)
    if token_stdin and token not in {None, "-"}:
        raise Invalid("give --token or --token-stdin, not both")
    asked = "-" if token_stdin else token
    if asked is None and token_file is None and sys.stdin.isatty():
        secret = device.sign_in(server, browser=browser).token
    else:
        secret = _secret(asked, token_file)
    me = _whose(server, secret)
    stored.store(server, secret, user=me.name)
    if as_json:
        screen.print_json({"url": server, "user": me.name, "role": me.role})
        return
    if server.startswith("http:") and not is_loopback(server):
        screen.say_warning(f"{server} is not encrypted: others on the way can read the token.")
    screen.say_done(f"signed in to {server} as {me.name} ({me.role})")
    if found.token is not None:
        screen.say_warning("ALCOVE_TOKEN is set and goes before what was stored.")


def logout(
    url: Annotated[str | None, typer.Argument(metavar="[URL]", help="The server.")] = None,
) -> None:
    """Forget the stored token of a server. The token itself stays valid; revoke it to end it."""
    found = client()
    stored = Credentials(found.config_dir)
    server = normal_url(url or found.url or stored.current_url() or URL_DEFAULT)
    if stored.forget(server):
        screen.say_done(f"forgot the token for {server}")
    else:
        screen.say(f"no token was stored for {server}")


def status(as_json: Json = False) -> None:
    """Show which server commands speak to, as whom, and how it is."""
    with connect() as api:
        server = api.server.info()
        me = api.users.me()
        if as_json:
            screen.print_json({"url": api.url, "server": server, "user": me})
            return
        screen.print_facts(
            [
                ("Server", api.url),
                ("Version", server.version),
                ("Signed in as", f"{me.name} ({me.role})"),
                *((f"Driver {d.name}", ", ".join(d.isolation)) for d in server.drivers),
            ]
        )
        for driver in server.drivers:
            for what, why in driver.absent.items():
                screen.say(f"  not here: {what}: {why}")


def _secret(token: str | None, file: Path | None) -> str:
    if token is not None and file is not None:
        raise Invalid("give --token or --token-file, not both")
    if file is not None:
        return file.read_text()[:_TOKEN_MAX].strip()
    if token is not None and token != "-":
        return token.strip()
    return sys.stdin.readline(_TOKEN_MAX).strip()


def _whose(server: str, secret: str) -> "Me":
    if not secret:
        raise Unauthenticated("no token was given")
    with connect(server, secret) as api:
        try:
            return api.users.me()
        except Unauthenticated as error:
            raise Unauthenticated(f"{server} does not take this token: {error}") from error
        except AlcoveError as error:
            if error.status == 404:
                raise AlcoveError(f"{server} answers, but is no Alcove server") from error
            raise
