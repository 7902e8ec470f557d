"""The container runtimes of this machine: their versions, and which known holes are open.

Fixed versions are those of the runc project's advisories. Distributions fix holes without
raising the version, so their changelog is believed as well.
"""

import gzip
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from alcove import config
from alcove.ops import gvisor
from alcove.ops.findings import Finding, State, judge
from alcove.ops.packages import PATH

Version: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Advisory:
    """A hole and the first version of each series that is without it."""

    cve: str
    fixed: tuple[Version, ...]
    what: str


RUNC: Final = (
    Advisory("CVE-2024-21626", ((1, 1, 12),), "a leaked file descriptor leads to the host"),
    Advisory("CVE-2025-31133", ((1, 2, 8), (1, 3, 3), (1, 4, 0)), "masked paths may be bypassed"),
    Advisory("CVE-2025-52565", ((1, 2, 8), (1, 3, 3), (1, 4, 0)), "/dev/console may be bypassed"),
    Advisory("CVE-2025-52881", ((1, 2, 8), (1, 3, 3), (1, 4, 0)), "writes to /proc misdirected"),
    Advisory("CVE-2026-41579", ((1, 3, 6), (1, 4, 3), (1, 5, 0)), "mounts may be misdirected"),
)
_CHANGELOG: Final = Path("/usr/share/doc/runc/changelog.Debian.gz")


def examine() -> Sequence[Finding]:
    """Findings about runc (needed) and about the runtimes of tiers that are not there yet."""
    return [*_runc(), gvisor.examine(config.load().data_dir), _kvm()]


def parse_version(text: str) -> Version | None:
    """`runc version 1.1.5+ds1` → (1, 1, 5)."""
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def open_holes(version: Version, changelog: str) -> Sequence[Advisory]:
    """The advisories that neither the version nor the distribution's changelog closes."""
    return [a for a in RUNC if a.cve not in changelog and not _closed(version, a.fixed)]


def _closed(version: Version, fixed: tuple[Version, ...]) -> bool:
    same_series = [f for f in fixed if f[:2] == version[:2]]
    if same_series:
        return version >= same_series[0]
    return version >= max(fixed)


def _runc() -> list[Finding]:
    said = _ask("runc", "--version")
    version = parse_version(said)
    found = [
        judge(
            "runtime",
            "runc",
            good=version is not None,
            value=said.splitlines()[0] if said else "not installed",
            cost="no workspace can run",
            remedy="apt-get install runc",
        )
    ]
    if version is None:
        return found
    changelog = ""
    if _CHANGELOG.exists():
        changelog = gzip.decompress(_CHANGELOG.read_bytes()).decode(errors="replace")
    holes = open_holes(version, changelog)
    found.append(
        judge(
            "runtime",
            "runc advisories",
            good=not holes,
            value="none open" if not holes else ", ".join(a.cve for a in holes),
            cost="; ".join(dict.fromkeys(a.what for a in holes))
            + ". User namespaces and mounts of our own stand in the way; do not rely on it",
            remedy="apt-get update && apt-get install --only-upgrade runc (or a newer release)",
            otherwise=State.WEAK,
        )
    )
    return found


def _kvm() -> Finding:
    there = Path("/dev/kvm").exists()
    return judge(
        "runtime",
        "KVM",
        good=there,
        value="/dev/kvm" if there else "no /dev/kvm",
        cost="tier `microvm` is refused",
        remedy="a machine with (nested) virtualisation",
        otherwise=State.NOTE,
    )


def _ask(*command: str) -> str:
    program = shutil.which(command[0], path=PATH)
    if program is None:
        return ""
    done = subprocess.run(
        [program, *command[1:]], capture_output=True, text=True, timeout=20, check=False
    )
    return done.stdout.strip()
