"""What runs on the server's own machine: its code is loaded only when it is asked for.

By name and not by import: the client must not depend on the server's packages.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

import typer

from alcove.cli.session import DataDir, Json
from alcove.sdk.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAMS: Final = {
    "server": "Serve, in the foreground (needs the extra `server`).",
    "host": "The privileged half of the local driver.",
}


def up(data_dir: DataDir = None) -> None:
    """Set this machine up and start a server in the background (root)."""
    raise typer.Exit(_run("up", data_dir=data_dir))


def down(data_dir: DataDir = None) -> None:
    """Stop the server and its workspaces; data is kept (root)."""
    raise typer.Exit(_run("down", data_dir=data_dir))


def doctor(as_json: Json = False) -> None:
    """Say what this machine has and lacks, and how to close each gap."""
    raise typer.Exit(_run("doctor", as_json=as_json))


def login_link(data_dir: DataDir = None) -> None:
    """Print a one-time sign-in URL for the first admin (root)."""
    raise typer.Exit(_run("login_link", data_dir=data_dir))


def program(ctx: typer.Context) -> None:
    """Run one of the server's programs with the rest of the arguments."""
    name = str(ctx.info_name)
    module = "alcove.server" if name == "server" else "alcove.host.main"
    main = cast("Callable[[list[str]], int]", _load(module, "main"))
    raise typer.Exit(main(sys.argv[1:]))


def _run(operation: str, **options: object) -> int:
    run = cast("Callable[..., int]", _load(f"alcove.ops.{operation}", "run"))
    return run(**options)


def _load(module: str, name: str) -> object:
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("alcove."):
            raise
        raise Unsupported(
            f"this is the client alone ({error.name} is not installed): "
            "install the server with `pip install 'alcove[server]'`"
        ) from error
