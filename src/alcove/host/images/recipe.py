"""The steps of a Debian build as text: command lines, scripts, configuration, and how to read
what they say. Pure but for `foundation_files` and `prune`."""

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from alcove.host.images.shelf import make_directory, write_file

EPOCH: Final = 1704067200
"""SOURCE_DATE_EPOCH: files that a build writes are not younger, so two builds are alike."""
ENVIRONMENT: Final = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
    "DEBIAN_FRONTEND": "noninteractive",
    "DEBCONF_NONINTERACTIVE_SEEN": "true",
    "SOURCE_DATE_EPOCH": str(EPOCH),
}
APT_CONF: Final = "/run/alcove/apt.conf"
APT_CA: Final = "/run/alcove/ca.pem"
CACHE_BYTES_MAX: Final = 4 << 30
CACHE_AGE_MAX_S: Final = 30 * 86400
USER_ID: Final = 1000

DPKG_CFG: Final = """\
# Documentation, manual pages and translations are left out to keep images small.
path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/lintian/*
path-exclude=/usr/share/locale/*
path-include=/usr/share/locale/locale.alias
"""
APT_CFG: Final = """\
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::GzipIndexes "true";
"""


class Steps(Protocol):
    """Reads a build's output line by line."""

    worth_retrying: bool

    def read(self, line: str) -> bool:
        """Take a line; True if it is progress and not for the log."""
        ...

    def reason(self, code: int) -> str:
        """Why it failed, for people."""
        ...


def mmdebstrap(suite: str, lines: Sequence[str], *, ca: bool) -> list[str]:
    """The command for the foundation; files in /tmp/extra are copied over it."""
    trust = ['--aptopt=Acquire::https::CaInfo "/tmp/ca.pem"'] if ca else []
    return [
        "mmdebstrap",
        "--mode=unshare",
        "--variant=apt",
        "--format=directory",
        "--include=ca-certificates",
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt={line}" for line in DPKG_CFG.splitlines() if line.startswith("path-")),
        '--aptopt=Acquire::Languages "none"',
        "--setup-hook=touch /tmp/started",
        *trust,
        # update-alternatives wants these, although dpkg leaves out what is in them.
        '--customize-hook=mkdir -p $(printf "$1/usr/share/man/man%d " 1 2 3 4 5 6 7 8)',
        '--customize-hook=rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap'
        ' "$1"/etc/dpkg/dpkg.cfg.d/99mmdebstrap',
        '--customize-hook=cp -R /tmp/extra/. "$1"/',
        f"--customize-hook=cat <<'END' | chroot \"$1\" /bin/sh\n{_clean()}\nEND",
        # What is mounted there for the build is not the image's.
        r'--customize-hook=cd "$1" && find . \( -path ./dev -o -path ./proc -o -path ./sys \)'
        " -prune -o -newer /tmp/started -print0"
        f" | xargs -0 -r touch --no-dereference --date=@{EPOCH}",
        "--skip=output/dev",
        suite,
        "/tmp/target",
        *lines,
    ]


def foundation_files(directory: Path, apt_options: str) -> Path:
    """Configuration that images keep, so that a workspace's own `apt install` does as we do."""
    apt = directory / "etc/apt/apt.conf.d/50alcove"
    dpkg = directory / "etc/dpkg/dpkg.cfg.d/50alcove"
    for path, text in ((apt, APT_CFG + apt_options), (dpkg, DPKG_CFG)):
        for parent in reversed(path.relative_to(directory).parents):
            make_directory(directory / parent)
        write_file(path, text)
    return directory


def apt_conf(*, ca: bool) -> str:
    """apt.conf of builds; images do not keep it."""
    return "\n".join(
        [
            'APT::Sandbox::User "root";',
            'Dir::Cache::pkgcache "";',
            'Dir::Cache::srcpkgcache "";',
            'Dpkg::Use-Pty "false";',
            'Dpkg::Options { "--force-unsafe-io"; "--force-confold"; };',
            'Acquire::Retries "3";',
            # The archives are mounted read-only while packages are installed.
            'Debug::NoLocking "true";',
            *([f'Acquire::https::CaInfo "{APT_CA}";'] if ca else []),
            "",
        ]
    )


def fetch_script(packages: Sequence[str]) -> str:
    """Download; nothing else runs while there is a network."""
    return f"""set -e
apt-get update --error-on=any -qq
apt-get install -y -q --download-only -o APT::Status-Fd=3 -- {" ".join(packages)} 3>&1
"""


def install_script(packages: Sequence[str], *, user: str, sudo: bool) -> str:
    """Install what was fetched, add the user, and remove what differs from build to build."""
    steps = ["set -e", "touch /run/alcove/started"]
    if packages:
        # A descriptor of its own for the status: newer releases close it for package scripts.
        steps.append(
            "apt-get install -y -q --no-download -o APT::Status-Fd=3 -- "
            + " ".join(packages)
            + " 3>&1"
        )
    if user and user != "root":
        steps += [
            f"groupadd --gid {USER_ID} -- {user}",
            f"useradd --uid {USER_ID} --gid {USER_ID} --shell /bin/bash --create-home -- {user}",
        ]
        if sudo:
            rule = f"{user} ALL=(ALL:ALL) NOPASSWD: ALL"
            steps += [
                f"printf '%s\\n' '{rule}' > /etc/sudoers.d/alcove",
                "chmod 0440 /etc/sudoers.d/alcove",
            ]
    return "\n".join([*steps, finish()])


def finish() -> str:
    """The end of a script: remove what differs from build to build."""
    return f"{_clean()}\n{_clamp()}\n"


def prune(archives: Path) -> None:
    """Bound the cache of packages: the oldest go first."""
    found = sorted(
        ((p.stat(follow_symlinks=False), p) for p in archives.glob("*.deb")),
        key=lambda entry: entry[0].st_mtime,
        reverse=True,
    )
    total = 0
    oldest = time.time() - CACHE_AGE_MAX_S
    for status, path in found:
        total += status.st_size
        if total > CACHE_BYTES_MAX or status.st_atime < oldest:
            path.unlink(missing_ok=True)


class FoundationSteps:
    """Reads mmdebstrap."""

    worth_retrying = True

    def __init__(self, suite: str, say: Callable[[str], None]) -> None:
        self._suite = suite
        self._say = say
        self._errors: list[str] = []

    def read(self, line: str) -> bool:
        if line.startswith("I: main() "):
            return False
        if found := re.fullmatch(r"I: (.+?)\.\.\.", line):
            self._say(f"building the foundation of Debian {self._suite}: {found[1]}")
            return True
        if line.startswith("E: "):
            _keep(self._errors, line[3:])
        return False

    def reason(self, code: int) -> str:
        why = next((e for e in self._errors if "mmdebstrap failed" not in e), f"exit code {code}")
        if any("does not have a Release file" in e for e in self._errors):
            why = f"the mirror has no suite {self._suite!r}; check `debian:` and debian_mirror"
        return f"cannot build the foundation of Debian {self._suite}: {why}"


class AptSteps:
    """Reads apt-get with its status lines."""

    def __init__(self, doing: str, say: Callable[[str], None]) -> None:
        self.worth_retrying = True
        self._doing = doing
        self._say = say
        self._errors: list[str] = []

    def read(self, line: str) -> bool:
        if found := re.match(r"(?:pm|dl)status:[^:]*(?::[^:]*)??:(\d+)\.\d+:", line):
            self._say(f"{self._doing} {found[1]} %")
            return True
        if found := re.fullmatch(r"E: Unable to locate package (\S+)", line):
            self.worth_retrying = False
            _keep(self._errors, f"there is no package {found[1]!r} in the suite")
        elif found := re.fullmatch(r"E: Package '?(\S+?)'? has no installation candidate", line):
            self.worth_retrying = False
            _keep(self._errors, f"package {found[1]!r} cannot be installed in the suite")
        elif line.startswith("E: "):
            _keep(self._errors, line[3:])
        return line.startswith(("pmstatus:", "dlstatus:", "pmconffile:", "pmerror:"))

    def reason(self, code: int) -> str:
        why = "; ".join(self._errors[:3]) or f"exit code {code}"
        return f"{self._doing} failed: {why}"


def _keep(errors: list[str], message: str) -> None:
    if len(errors) < 20:
        errors.append(message[:300])


def _clean() -> str:
    """Remove what belongs to one machine or one build."""
    return """\
rm -f /etc/ssh/ssh_host_* /etc/resolv.conf /etc/hostname /var/lib/dbus/machine-id
rm -f /var/cache/ldconfig/aux-cache /var/cache/debconf/*-old /var/lib/dpkg/*-old
rm -f /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/subuid- /etc/subgid-
rm -f /var/cache/apt/*.bin /var/lib/systemd/random-seed
: > /etc/machine-id
find /var/log /var/cache/debconf/tmp.ci -type f -delete 2>/dev/null || true"""


def _clamp() -> str:
    """Give what this build wrote one date. The older files keep theirs, so that nothing is copied
    up from the layers below."""
    return f"""\
find / -xdev -newer /run/alcove/started ! -path '/run/*' -print0 |
  xargs -0 -r touch --no-dereference --date=@{EPOCH}"""
