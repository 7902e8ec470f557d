"""`alcove config-ssh`: a marked block in OpenSSH's configuration, for `ssh api.alcove`.

The block is written at the top, since OpenSSH takes the first value that it finds, and ends with
`Host *`, so that what follows means what it meant before. Nothing else in the file is touched.
"""

import difflib
import os
import secrets
import shlex
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from alcove.cli import screen
from alcove.cli.ssh import LOGIN, SUFFIX, own_command, quoted
from alcove.cli.ssh_stdio import DIRECTORY, alias_of, known_hosts
from alcove.config import client
from alcove.sdk.credentials import resolve
from alcove.sdk.errors import Conflict, Invalid

BEGIN: Final = "# >>> alcove "
END: Final = "# <<< alcove "
CONFIG_MAX: Final = 4 * 1024 * 1024
_SUFFIX_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-.")


def config_ssh(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Show what would change, and change nothing.")
    ] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take our block out again.")] = False,
    file: Annotated[
        Path | None, typer.Option("--file", "-F", help="Default: ~/.ssh/config.")
    ] = None,
    suffix: Annotated[
        str,
        typer.Option("--host-suffix", help="What hosts end with; one for each server."),
    ] = SUFFIX,
    multiplex: Annotated[
        bool,
        typer.Option("--multiplex", help="Share one connection for all sessions of a workspace."),
    ] = False,
) -> None:
    """Let `ssh`, editors, `git`, `rsync` and Ansible reach workspaces as `NAME.alcove`.

    It is written once for each server; running it again changes nothing. Somebody else's
    workspace is `NAME.OWNER.alcove`.
    """
    endpoint = resolve()
    path = (file or Path.home() / ".ssh" / "config").expanduser()
    before = read(path)
    block = "" if remove else block_of(endpoint.url, checked(suffix), multiplex=multiplex)
    after = with_block(before, endpoint.url, block)
    if block:
        refuse_same_hosts(after, endpoint.url, suffix)
    if dry_run:
        sys.stdout.write(difference(before, after, path))
        return
    if after == before:
        screen.say_done(f"{path} has nothing to change")
        return
    if after and not before and not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace(path, after, expected=before)
    screen.say_done(f"{path}: {'took our block out' if remove else 'written'}")
    if not remove:
        screen.say(f"Now `ssh NAME{suffix}` works, and whatever uses OpenSSH's configuration.")


def block_of(url: str, suffix: str, *, multiplex: bool) -> str:
    """All lines, with the marks."""
    directory = client().config_dir
    command = shlex.join([*own_command(), "ssh", "--stdio", "--url", url, "--suffix", suffix])
    lines = [
        f"ProxyCommand {command.replace('%', '%%')} '%h'",
        f"User {LOGIN}",
        f"HostKeyAlias {alias_of(url)}",
        f"UserKnownHostsFile {quoted(known_hosts(directory))}",
        "GlobalKnownHostsFile /dev/null",
        "StrictHostKeyChecking yes",
        "UpdateHostKeys no",
        "CheckHostIP no",
        "CanonicalizeHostname no",
        "ServerAliveInterval 30",
    ]
    if multiplex:
        lines += [
            "ControlMaster auto",
            f'ControlPath {quoted(directory / DIRECTORY).removesuffix(chr(34))}/%C"',
            "ControlPersist 10m",
        ]
    return "".join(
        f"{line}\n"
        for line in (
            f"{BEGIN}{url}",
            "# Made by `alcove config-ssh`, which takes it out again with --remove.",
            # OpenSSH before 9.6 lets a host's name be a shell's words: hence the quotes, and no
            # host that has one in it.
            f'Host *{suffix} !"*\'*"',
            *(f"    {line}" for line in lines),
            "Host *",
            f"{END}{url}",
        )
    )


def with_block(text: str, url: str, block: str) -> str:
    """The text with this block for the server instead of the one that it has, if it has one; an
    empty block takes it out. Raises Invalid for marks that do not fit together."""
    lines = text.splitlines(keepends=True)
    begins = [n for n, line in enumerate(lines) if line.rstrip() == f"{BEGIN}{url}"]
    ends = [n for n, line in enumerate(lines) if line.rstrip() == f"{END}{url}"]
    if not begins and not ends:
        return block + text
    if len(begins) != 1 or len(ends) != 1 or ends[0] < begins[0]:
        raise Invalid(
            f"the marks `{BEGIN}{url}` and `{END}{url}` are not one pair: "
            "put them right, or take out what is between them by hand"
        )
    return "".join(lines[: begins[0]]) + block + "".join(lines[ends[0] + 1 :])


def refuse_same_hosts(text: str, url: str, suffix: str) -> None:
    """Raises Conflict when another server's block is for the same hosts."""
    server = ""
    for line in text.splitlines():
        if line.startswith(BEGIN):
            server = line.removeprefix(BEGIN).strip()
        elif line.startswith(END):
            server = ""
        elif server not in {"", url} and line.split()[:2] == ["Host", f"*{suffix}"]:
            raise Conflict(
                f"*{suffix} is {server} already: give this server hosts of its own, "
                "for example with --host-suffix .work"
            )


def checked(suffix: str) -> str:
    """Raises typer.BadParameter for what is no suffix of a host's name."""
    plain = suffix.startswith(".") and len(suffix) <= 64 and not set(suffix) - _SUFFIX_LETTERS
    if not plain or ".." in suffix or suffix.endswith((".", "-")):
        raise typer.BadParameter(
            f"{suffix!r} is not like .alcove: a dot, then letters, digits and dashes",
            param_hint="--host-suffix",
        )
    return suffix


def difference(before: str, after: str, path: Path) -> str:
    """As `diff -u` shows it; nothing where nothing changes."""
    return "".join(
        line if line.endswith("\n") else f"{line}\n"
        for line in difflib.unified_diff(
            before.splitlines(keepends=True),
            after.splitlines(keepends=True),
            fromfile=str(path),
            tofile=str(path),
        )
    )


def read(path: Path) -> str:
    """The file, byte for byte; a missing one is empty. Raises Invalid."""
    try:
        with path.open("rb") as file:
            content = file.read(CONFIG_MAX + 1)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise Invalid(f"cannot read {path}: {error.strerror}") from error
    if len(content) > CONFIG_MAX:
        raise Invalid(f"{path} is larger than any configuration of OpenSSH")
    return content.decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class _About:
    """What a file keeps when its content is replaced."""

    mode: int
    owner: tuple[int, int] | None


def replace(path: Path, text: str, *, expected: str) -> None:
    """Write the file in one step; its mode and owner stay, and a link still leads to it.

    Raises Conflict when it is no longer what was read.
    """
    target = path.resolve()
    try:
        found = target.stat()
        about = _About(stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid))
    except FileNotFoundError:
        about = _About(0o600, None)
    scratch = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(scratch, flags, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            if about.owner is not None and about.owner != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), *about.owner)
            os.fchmod(file.fileno(), about.mode)
            file.write(text.encode("utf-8", "surrogateescape"))
            file.flush()
            os.fsync(file.fileno())
        if read(path) != expected:
            raise Conflict(f"{path} was changed at this moment: run it again")
        scratch.replace(target)
    except OSError as error:
        raise Invalid(f"cannot write {target}: {error.strerror}") from error
    finally:
        scratch.unlink(missing_ok=True)
