"""The top layers of every root: mount points, the agent, and the workspace's own files.

They are real directories above the image's layers, and in an overlay a directory hides a link of
the same name below it. So an image with `/proc`, `/dev` or `/etc` as symlinks is harmless: the
runtime only ever meets these. One rule: nothing is written through a path of the image.
"""

import hashlib
import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alcove.host.account import Account
from alcove.host.bundle import AGENT_PATH, BOOT_ID, DOOR
from alcove.host.image_files import SkeletonFile
from alcove.model.errors import DriverError

_MOUNT_POINTS: Final = ("proc", "sys", "dev", "tmp", "etc", DOOR.lstrip("/"))
_LAYOUT: Final = 3
"""Another one for every change of what the layer holds beside the agent."""


@dataclass(frozen=True, slots=True)
class Files:
    """What a workspace's own layer holds, beside its account: path → content."""

    hostname: str
    resolv_conf: str
    extra: Mapping[str, bytes]
    """Files below /etc or /usr of the operator's (a CA bundle, package manager settings)."""


def agent_layer(directory: Path, agent: Path) -> Path:
    """The layer with the agent and the mount points, shared by all workspaces that were started
    with this agent; its name is the agent's digest, since a layer in use must not change."""
    try:
        with agent.open("rb") as file:
            name = hashlib.file_digest(file, "sha256").hexdigest()[:16] + f"-{_LAYOUT}"
    except OSError as error:
        raise DriverError(
            f"the agent cannot be read: {error}; build it with `make agent`", retry=False
        ) from error
    layer = directory / name
    if layer.exists():
        return layer
    half = directory / f"{name}.new"
    shutil.rmtree(half, ignore_errors=True)
    _directory(half)
    for point in _MOUNT_POINTS:
        _directories(half, point)
    # What runsc mounts a file on has to be there, although a /proc hides it.
    _directories(half, str(Path(BOOT_ID.lstrip("/")).parent))
    (half / BOOT_ID.lstrip("/")).touch(mode=0o444)
    (half / "tmp").chmod(0o1777)  # the runtime gives a tmpfs the mode of its mount point
    inside = half / AGENT_PATH.lstrip("/")
    shutil.copyfile(agent, inside)
    inside.chmod(0o555)
    half.rename(layer)
    return layer


def remove_former(directory: Path, kept: Collection[str]) -> None:
    """Remove the layers of earlier agents but those `kept`; only when no workspace runs on one of
    the others."""
    for former in directory.iterdir():
        if former.name not in kept and former.is_dir():
            shutil.rmtree(former, ignore_errors=True)


def write(layer: Path, account: Account, files: Files) -> None:
    """Write the workspace's own layer anew."""
    shutil.rmtree(layer, ignore_errors=True)
    _directory(layer)
    _directories(layer, "etc")
    _directories(layer, account.home.lstrip("/"))
    contents = {
        **named(files.hostname),
        "etc/resolv.conf": files.resolv_conf.encode(),
        "etc/passwd": account.passwd,
        "etc/group": account.group,
        **files.extra,
    }
    for path, content in contents.items():
        _directories(layer, str(Path(path).parent))
        target = layer / path
        target.write_bytes(content)
        target.chmod(0o644)


def named(hostname: str) -> dict[str, bytes]:
    """The files that hold the name of the workspace."""
    return {
        "etc/hostname": f"{hostname}\n".encode(),
        "etc/hosts": f"127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {hostname}\n".encode(),
    }


def rename(layer: Path, hostname: str) -> None:
    """Give a layer in use another name: in place, since an overlay holds on to the files that it
    has looked up."""
    for path, content in named(hostname).items():
        descriptor = os.open(layer / path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(descriptor, content, 0)
            os.ftruncate(descriptor, len(content))
        finally:
            os.close(descriptor)


def seed_home(home: Path, account: Account, skeleton: list[SkeletonFile]) -> None:
    """Make the home on a volume that has none. Whole or not at all, so that a cut-off start does
    not leave half of a home that a later one would keep."""
    if home.exists():
        os.chown(home, account.uid, account.gid)
        return
    half = home.with_name("home.new")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(mode=0o700)
    for file in skeleton:
        target = half / file.path
        target.write_bytes(file.content)
        target.chmod(file.mode)
        os.chown(target, account.uid, account.gid)
    os.chown(half, account.uid, account.gid)
    half.chmod(0o755)
    half.rename(home)


def _directories(layer: Path, path: str) -> None:
    made = layer
    for part in Path(path).parts:
        made = made / part
        if not made.exists():
            _directory(made)


def _directory(path: Path) -> None:
    path.mkdir(parents=True)
    path.chmod(0o755)
