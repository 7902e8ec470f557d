"""`alcove port …`, `alcove port-forward`, `alcove open`: what listens inside a workspace."""

import re
import shutil
import subprocess
import sys
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import typer

from alcove.cli import screen
from alcove.cli.screen import Column
from alcove.cli.session import Json, WorkspaceName, connect
from alcove.config import client
from alcove.model.editors import host_name, links

if TYPE_CHECKING:
    from alcove.sdk import Workspace
    from alcove.sdk._async.ports import LevelName

app = typer.Typer(help="Ports of workspaces.", no_args_is_help=True)
PORT_MAX: Final = 65535
_FORWARD: Final = re.compile(r"(?:(\d{1,5}):)?(\d{1,5})")
_LOOPBACK: Final = "127.0.0.1"
_WHERE_AND_WHO: Final = ["sh", "-c", 'printf "%s\\n%s\\n" "$HOME" "$(id -un)"']
Port = Annotated[int, typer.Argument(metavar="PORT", min=1, max=PORT_MAX)]
_LEVELS: Final[dict[str, "LevelName"]] = {
    "private": "private",
    "team": "team",
    "public": "public",
}


class Where(StrEnum):
    """What `alcove open` opens it in."""

    BROWSER = "browser"
    TERMINAL = "terminal"
    VSCODE = "vscode"
    CURSOR = "cursor"
    ZED = "zed"
    JETBRAINS = "jetbrains"


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
    where: Annotated[
        Where, typer.Option("--in", help="In what; editors go over SSH, see `config-ssh`.")
    ] = Where.BROWSER,
    print_only: Annotated[
        bool, typer.Option("--print", help="Print the address and open nothing.")
    ] = False,
) -> None:
    """Open a workspace: its page, what listens on one of its ports, or its files in an editor."""
    if port is not None and where is not Where.BROWSER:
        raise typer.BadParameter("a port is opened in the browser", param_hint="--in")
    with connect() as api:
        found = api.workspaces.get(workspace)
        match where:
            case Where.TERMINAL:
                url = f"{found.info.urls['page'].rstrip('/')}/terminal"
            case Where.BROWSER if port is None:
                url = found.info.urls["page"]
            case Where.BROWSER:
                assert port is not None
                pattern = found.info.urls.get("app")
                url = found.ports.link(port).url if pattern is None else _filled(pattern, port)
            case _:
                url = editor_url(found, where, me=api.users.me().name)
    if print_only:
        screen.answer(url)
    else:
        _show(url)


def editor_url(found: "Workspace", where: Where, *, me: str) -> str:
    """What opens its clone, or its home, in an editor. It has to run: it is asked for both."""
    home, user = found.exec(_WHERE_AND_WHO, check=True).stdout.split("\n")[:2]
    repo = (found.info.repo or "").rstrip("/").rpartition("/")[2].removesuffix(".git")
    folder = f"{home}/{repo}" if repo else home
    host = host_name(found.name, found.info.owner, own=found.info.owner == me)
    return next(e.url for e in links(host, folder=folder, user=user) if e.word == where.value)


def _show(url: str) -> None:
    """In the program for it, or else printed."""
    if not (client().desktop and _opened(url)):
        screen.answer(url)


def _opened(url: str) -> bool:
    """Whether a program took it."""
    if url.startswith(("http://", "https://")):
        import webbrowser  # noqa: PLC0415 - by need

        return webbrowser.open(url)
    opener = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
    return opener is not None and subprocess.run([opener, url], check=False).returncode == 0


def port_forward(
    workspace: WorkspaceName,
    ports: Annotated[
        list[str],
        typer.Argument(
            metavar="[LOCAL:]PORT…", help="Such as 8000, or 9000:8000; 0:8000 takes any free one."
        ),
    ],
    address: Annotated[
        str, typer.Option("--address", help="Where to listen on this machine.")
    ] = _LOOPBACK,
    in_browser: Annotated[
        bool,
        typer.Option("--open", help="Open them in the browser, each under a name of its own."),
    ] = False,
) -> None:
    """Reach ports of a workspace on this machine, until Ctrl-C."""
    pairs = [read_ports(text) for text in ports]
    if in_browser and address != _LOOPBACK:
        raise typer.BadParameter("its names are for 127.0.0.1 alone", param_hint="--open")
    import anyio  # noqa: PLC0415 - by need

    from alcove.cli.forwarding import forward  # noqa: PLC0415

    listening = _show if in_browser else None
    anyio.run(partial(forward, workspace, address, pairs, listening=listening))


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
