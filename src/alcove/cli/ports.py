"""`alcove port …`, `alcove port-forward`, `alcove open`: what listens inside a workspace."""

import re
from typing import TYPE_CHECKING, Annotated, Final

import typer

from alcove.cli import screen
from alcove.cli.screen import Column
from alcove.cli.session import Json, WorkspaceName, connect

if TYPE_CHECKING:
    from alcove.sdk._async.ports import LevelName

app = typer.Typer(help="Ports of workspaces.", no_args_is_help=True)
PORT_MAX: Final = 65535
_FORWARD: Final = re.compile(r"(?:(\d{1,5}):)?(\d{1,5})")
Port = Annotated[int, typer.Argument(metavar="PORT", min=1, max=PORT_MAX)]
_LEVELS: Final[dict[str, "LevelName"]] = {
    "private": "private",
    "team": "team",
    "public": "public",
}


@app.command("list")
def list_(workspace: WorkspaceName, as_json: Json = False) -> None:
    """What listens in a workspace, what is shared, and where browsers find it."""
    with connect() as api:
        ports = api.workspaces.get(workspace).ports()
    if as_json:
        screen.print_json({"items": ports})
        return
    screen.print_table(
        [
            Column("PORT"),
            Column("LEVEL"),
            Column("PROCESS", 2),
            Column("UNTIL", 3),
            Column("URL", 1),
        ],
        [
            (
                str(port.port),
                port.level,
                (port.process or "") if port.listening else "(nothing listens)",
                screen.ago(port.expires_at) or "",
                port.url or "",
            )
            for port in ports
        ],
        empty=f"Nothing listens in {workspace}.",
    )


@app.command("share")
def share(
    workspace: WorkspaceName,
    port: Port,
    level: Annotated[str, typer.Option("--level", help="private, team or public.")] = "team",
    ttl: Annotated[str | None, typer.Option("--ttl", help="How long, such as 4h.")] = None,
    link: Annotated[
        bool, typer.Option("--link", help="Print a link instead, for whoever has it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Let others open a port, or make a link that opens it."""
    if level not in _LEVELS:
        raise typer.BadParameter("is private, team or public", param_hint="--level")
    with connect() as api:
        ports = api.workspaces.get(workspace).ports
        if link:
            made = ports.link(port, ttl=ttl or "1h")
            if as_json:
                screen.print_json(made)
                return
            screen.answer(made.url)
            screen.say(f"Good until {made.expires_at:%Y-%m-%d %H:%M} UTC, for whoever has it.")
            return
        shared = ports.share(port, _LEVELS[level], ttl=ttl)
    if as_json:
        screen.print_json(shared)
        return
    until = f" until {shared.expires_at:%Y-%m-%d %H:%M} UTC" if shared.expires_at else ""
    screen.say(f"Port {port} of {workspace} is {shared.level}{until}.")
    if shared.url is not None:
        screen.answer(shared.url)


@app.command("unshare")
def unshare(workspace: WorkspaceName, port: Port) -> None:
    """Make a port private again."""
    with connect() as api:
        api.workspaces.get(workspace).ports.unshare(port)
    screen.say(f"Port {port} of {workspace} is private.")


def open_(
    workspace: WorkspaceName,
    port: Annotated[int | None, typer.Argument(metavar="PORT", min=1, max=PORT_MAX)] = None,
    print_only: Annotated[
        bool, typer.Option("--print", help="Print the address and open nothing.")
    ] = False,
) -> None:
    """Open a workspace's page, or what listens on one of its ports, in the browser."""
    with connect() as api:
        found = api.workspaces.get(workspace)
        url = found.info.urls["page"]
        if port is not None:
            pattern = found.info.urls.get("app")
            url = found.ports.link(port).url if pattern is None else _filled(pattern, port)
    if not print_only:
        import webbrowser  # noqa: PLC0415 - by need

        print_only = not webbrowser.open(url)
    if print_only:
        screen.answer(url)


def port_forward(
    workspace: WorkspaceName,
    ports: Annotated[
        str, typer.Argument(metavar="[LOCAL:]PORT", help="Such as 8000, or 9000:8000.")
    ],
    address: Annotated[
        str, typer.Option("--address", help="Where to listen on this machine.")
    ] = "127.0.0.1",
) -> None:
    """Reach a port of a workspace on this machine, until Ctrl-C."""
    local, remote = read_ports(ports)
    import anyio  # noqa: PLC0415 - by need

    from alcove.cli.forwarding import forward  # noqa: PLC0415

    anyio.run(forward, workspace, address, local, remote)


def read_ports(text: str) -> tuple[int, int]:
    """`9000:8000` is local and remote; local 0 is any that is free."""
    found = _FORWARD.fullmatch(text)
    if found is None:
        raise typer.BadParameter("write PORT or LOCAL:PORT, such as 9000:8000")
    remote = int(found[2])
    local = remote if found[1] is None else int(found[1])
    if not 1 <= remote <= PORT_MAX or local > PORT_MAX:
        raise typer.BadParameter(f"a port is between 1 and {PORT_MAX}")
    return local, remote


def _filled(pattern: str, port: int) -> str:
    return pattern.replace("{port}", str(port))
