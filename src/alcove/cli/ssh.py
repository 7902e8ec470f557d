"""`alcove ssh`: the system's OpenSSH client, told how to reach a workspace.

The connection goes through `alcove ssh --stdio` (see `ssh_stdio.py`, which the program comes to
without loading this), with the token as the proof; OpenSSH does the rest, so that each of its
options works.
"""

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from typer.core import TyperCommand

from alcove.cli.session import complete_workspaces
from alcove.cli.ssh_stdio import alias_of, known_hosts
from alcove.config import client
from alcove.sdk.credentials import resolve
from alcove.sdk.errors import Unsupported

if TYPE_CHECKING:
    from click import Context

SUFFIX: Final = ".alcove"
LOGIN: Final = "alcove"
"""The login name that OpenSSH is told; the workspace is said otherwise."""
_TAKES_VALUE: Final = frozenset("BbcDEeFIiJLlmOoPpQRSWw")
"""Options of ssh(1) that take an argument."""


class SshCommand(TyperCommand):
    """Leaves all but `--help` to ssh: `alcove ssh -L 8080:localhost:80 api -- ls -l`."""

    def parse_args(self, ctx: "Context", args: list[str]) -> list[str]:  # pyright: ignore[reportIncompatibleMethodOverride] - typer's own context
        if args[:1] in (["--help"], ["-h"]) or not args:
            return super().parse_args(ctx, ["--help"])  # pyright: ignore[reportArgumentType]
        return super().parse_args(ctx, ["--", *args])  # pyright: ignore[reportArgumentType]


def ssh(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="[SSH OPTIONS] WORKSPACE [-- COMMAND…]",
            help="Options are those of ssh: -L, -R, -D, -A, -N, -t, -v and all others.",
            autocompletion=complete_workspaces,
        ),
    ],
) -> None:
    """Connect to a workspace with OpenSSH; exits with the command's code.

    A stopped workspace is started. For plain `ssh api.alcove`, editors and other tools, run
    `alcove config-ssh` once.
    """
    asked = read_arguments(arguments)
    program = find_program("ssh")
    endpoint = resolve()
    host = host_of(asked.workspace)
    options = [part for pair in options_for(endpoint.url, host) for part in ("-o", pair)]
    os.execv(program, ["ssh", *options, *asked.options, host, *asked.command])


@dataclass(frozen=True, slots=True)
class Asked:
    """The three parts of a command line of ssh."""

    options: tuple[str, ...]
    workspace: str
    command: tuple[str, ...]


def read_arguments(arguments: Sequence[str]) -> Asked:
    """As ssh reads them: options may also stand behind the host, and the first word after it
    begins the command. Raises typer.BadParameter."""
    options: list[str] = []
    workspace = ""
    rest = list(arguments)
    while rest:
        word = rest[0]
        if word == "--":
            if workspace:
                del rest[0]
                break
            del rest[0]
            if rest:
                workspace = rest.pop(0)
            continue
        if word.startswith("-") and word != "-":
            taken = 2 if _takes_next(word) else 1
            options += rest[:taken]
            del rest[:taken]
        elif workspace:
            break
        else:
            workspace = rest.pop(0)
    if not workspace or workspace.startswith("-"):
        raise typer.BadParameter("say which workspace, for example `alcove ssh api`")
    return Asked(tuple(options), workspace, tuple(rest))


def host_of(workspace: str) -> str:
    """The name under which OpenSSH knows it: `ada/api` is `api.ada.alcove`."""
    owner, slash, name = workspace.partition("/")
    return f"{name}.{owner}{SUFFIX}" if slash else f"{workspace}{SUFFIX}"


def options_for(url: str, host: str) -> list[str]:
    """What OpenSSH has to be told for a connection to this host, as it stands in a
    configuration. Nothing in it is a secret."""
    config_dir = client().config_dir
    command = [*own_command(), "ssh", "--stdio", "--url", url, "--suffix", SUFFIX, host]
    return [
        f"ProxyCommand={shlex.join(command).replace('%', '%%')}",
        f"User={LOGIN}",
        f"HostKeyAlias={alias_of(url)}",
        f"UserKnownHostsFile={quoted(known_hosts(config_dir))}",
        "GlobalKnownHostsFile=/dev/null",
        "StrictHostKeyChecking=yes",
        "UpdateHostKeys=no",
        "CheckHostIP=no",
        "CanonicalizeHostname=no",
        "ServerAliveInterval=30",
    ]


def own_command() -> list[str]:
    """How this program is called from elsewhere, also without our PATH."""
    beside = Path(sys.executable).with_name("alcove")
    found = str(beside) if beside.exists() else shutil.which("alcove")
    return [found or str(Path(sys.argv[0]).resolve())]


def find_program(name: str) -> str:
    """Where a program of OpenSSH's is. Raises Unsupported."""
    found = shutil.which(name)
    if found is None:
        raise Unsupported(
            f"there is no `{name}` on this machine: install OpenSSH's client "
            "(`openssh-client` on Debian and Ubuntu, `openssh` elsewhere), "
            "or use `alcove exec`, which needs none"
        )
    return found


def quoted(path: Path) -> str:
    """As ssh_config(5) wants a path that may have blanks in it."""
    return '"' + str(path).replace("%", "%%") + '"'


def _takes_next(word: str) -> bool:
    """Whether the next word belongs to this option: `-L`, `-vL`, but not `-L8080:…`."""
    for position, letter in enumerate(word[1:], start=1):
        if letter in _TAKES_VALUE:
            return position == len(word) - 1
    return False
