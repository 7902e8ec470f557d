"""Packages of the distribution that a server needs, and installing those that are missing."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from alcove.ops.commands import run
from alcove.ops.steps import Progress, StepFailed

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Root's, also where the caller's shell leaves the sbin directories out."""


@dataclass(frozen=True, slots=True)
class Need:
    """A program, the Debian package it comes in, and what is lost without it."""

    program: str
    package: str
    purpose: str


NEEDS: Final = (
    Need("runc", "runc", "running workspaces"),
    Need("ip", "iproute2", "the network of workspaces"),
    Need("nft", "nftables", "the network of workspaces"),
    Need("mkfs.ext4", "e2fsprogs", "the volumes of workspaces"),
    Need("mmdebstrap", "mmdebstrap", "building `debian:` images"),
    Need("newuidmap", "uidmap", "building `debian:` images without root"),
    Need("skopeo", "skopeo", "pulling `oci:` images"),
    Need("umoci", "umoci", "unpacking `oci:` images"),
    Need("git", "git", "the demonstration"),
)


def missing() -> Sequence[Need]:
    """Those that are not on PATH (or, for root's own programs, in /usr/sbin)."""
    return [need for need in NEEDS if not present(need.program)]


def present(program: str) -> bool:
    return (
        shutil.which(program, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        is not None
    )


def install(needs: Sequence[Need], progress: Progress) -> None:
    """Install packages with apt. Raises StepFailed where there is no apt, or it fails."""
    names = sorted({need.package for need in needs})
    if shutil.which("apt-get") is None:
        raise StepFailed(
            f"missing: {', '.join(names)}, and this system has no apt-get. "
            "Install them with its own package manager, then run this again."
        )
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    progress.say("apt-get update")
    run(["apt-get", "update", "-qq"], env=quiet)
    progress.say(f"apt-get install {' '.join(names)}")
    run(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "ca-certificates", *names],
        env=quiet,
        hint="Repair the package system (`apt-get -f install`), then run this again.",
    )
