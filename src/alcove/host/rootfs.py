"""The root file system of a workspace: an overlay of read-only layers, ids mapped on the way.

On disk every image and every home has the ids 0..65535; an idmapped mount shows them as the
workspace's own range, so nothing is ever chowned and two workspaces share no id. One rule: paths
inside the image are opened without following links, because the image's author wrote them.
"""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from alcove.host.syscalls import (
    MountAttribute,
    MountFlag,
    attach_mount,
    clone_mount,
    mount,
    open_beneath,
    set_mount_attributes,
    unmount,
)

_GUARDED = MountAttribute.NO_DEV | MountAttribute.NO_SUID


@dataclass(frozen=True, slots=True)
class Writable:
    """The overlay's writable part: a directory with `upper` and an empty `work` on the volume. On
    disk its ids are 0..65535 as everywhere, whichever range the workspace has, so that another
    one can go on with a copy of it; `userns_fd` has a number for root of the host as well, as
    whom overlayfs itself writes there."""

    directory: Path
    userns_fd: int


def assemble(
    target: Path, *, lower: Sequence[Path], stage: Path, userns_fd: int, writable: Writable | None
) -> None:
    """Mount the overlay on `target`. `lower` is bottom first; `stage` is a directory of ours in
    which the layers are mounted for the moment: the overlay keeps its own hold of them.
    Without `writable` the root is read-only and setuid files have no effect. Raises OSError."""
    parts = [*reversed(lower)]
    with ExitStack() as stack:
        names: list[str] = []
        for index, layer in enumerate(parts):
            names.append(f"l{index}")
            _stage(stack, layer, stage / names[-1], userns_fd)
        flags = MountFlag.NO_DEV
        if writable is None:
            flags |= MountFlag.READ_ONLY | MountFlag.NO_SUID
        # A short path by descriptor: all layers have to fit on the one page of mount(2).
        directory = os.open(stage, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, directory)
        base = f"/proc/self/fd/{directory}"
        options = "lowerdir=" + ":".join(f"{base}/{name}" for name in names)
        if writable is not None:
            _stage(stack, writable.directory, stage / "rw", writable.userns_fd, read_only=False)
            # What is written here ends at stop, so nothing is lost by not syncing it.
            options += f",upperdir={base}/rw/upper,workdir={base}/rw/work,volatile"
        mount("alcove", target, "overlay", flags, options)


def attach_home(rootfs: Path, *, home: str, source: Path, userns_fd: int) -> None:
    """Mount the volume's home directory over `home` (absolute) in the assembled root."""
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        target = open_beneath(root, home.lstrip("/"), os.O_PATH | os.O_DIRECTORY)
    finally:
        os.close(root)
    try:
        tree = clone_mount(source)
        try:
            set_mount_attributes(tree, _GUARDED, userns_fd=userns_fd)
            attach_mount(tree, target)
        finally:
            os.close(tree)
    finally:
        os.close(target)


def _stage(
    stack: ExitStack, source: Path, target: Path, userns_fd: int, *, read_only: bool = True
) -> None:
    """Mount `source` on `target` with its ids mapped, until the stack is closed."""
    attributes = MountAttribute.NO_DEV
    if read_only:
        attributes |= MountAttribute.READ_ONLY
    tree = clone_mount(source)
    try:
        set_mount_attributes(tree, attributes, userns_fd=userns_fd)
        target.mkdir(mode=0o700, exist_ok=True)
        directory = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            attach_mount(tree, directory)
        finally:
            os.close(directory)
    finally:
        os.close(tree)
    stack.callback(unmount, target, lazy=True)
