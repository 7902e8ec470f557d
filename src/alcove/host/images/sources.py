"""Where Debian packages come from: the operator's mirror, else what the host's own apt uses.

Reads both formats of apt's sources (sources.list(5)); pure but for `read_host`.
"""

import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from alcove.host.settings import HostSettings
from alcove.model.errors import DriverError

DEFAULT_MIRROR: Final = "https://deb.debian.org/debian"
DEFAULT_SECURITY: Final = "https://security.debian.org/debian-security"
KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
ROLLING: Final = frozenset({"sid", "unstable"})
KEPT_OPTIONS: Final = ("Acquire::Check-Valid-Until", "Acquire::Check-Date")
"""Options of the host's apt that a mirror may depend on; passed on to images."""
_URL: Final = re.compile(r"https?://[A-Za-z0-9][A-Za-z0-9._~:/@%+-]{0,400}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One archive of the host's apt: a URI and the suites taken from it."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""


@dataclass(frozen=True, slots=True)
class HostApt:
    """What the host's apt is told. `options` are apt.conf values by name."""

    entries: tuple[Entry, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict[str, str])


def read_host(root: Path = Path("/")) -> HostApt:
    """The host's own apt configuration; empty where there is none."""
    entries: list[Entry] = []
    directory = root / "etc/apt/sources.list.d"
    for file in (root / "etc/apt/sources.list", *sorted(directory.glob("*.list"))):
        if file.is_file():
            entries += one_line_entries(file.read_text(errors="replace"))
    for file in sorted(directory.glob("*.sources")):
        entries += deb822_entries(file.read_text(errors="replace"))
    return HostApt(tuple(entries), _host_options())


def one_line_entries(text: str) -> Iterable[Entry]:
    """`deb [options] uri suite component…`; what is not understood is left out."""
    for line in text.splitlines():
        found = re.fullmatch(r"\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)(#.*)?", line)
        if found is None:
            continue
        options = dict(o.split("=", 1) for o in (found[1] or "").split() if "=" in o)
        signed_by = options.get("signed-by", "")
        yield Entry(found[2], (found[3],), tuple(found[4].split()), signed_by)


def deb822_entries(text: str) -> Iterable[Entry]:
    """Stanzas of `Types:`, `URIs:`, `Suites:`, `Components:`."""
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in (" ", "\t") and name:
                fields[name] += " " + line.strip()
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if "deb" not in fields.get("types", "").split():
            continue
        if fields.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        suites = tuple(fields.get("suites", "").split())
        components = tuple(fields.get("components", "").split())
        for uri in fields.get("uris", "").split():
            yield Entry(uri, suites, components, fields.get("signed-by", ""))


def lines_for(suite: str, settings: HostSettings, host: HostApt) -> list[str]:
    """sources.list lines for `suite`, signed by the Debian archive's key.

    `debian_mirror` is one URL for the main archive, or two: main and security."""
    mirror, security = _archives(settings, host)
    signed = f"deb [signed-by={KEYRING}]"
    lines = [f"{signed} {mirror} {suite} main"]
    if suite not in ROLLING:
        lines.append(f"{signed} {mirror} {suite}-updates main")
        lines.append(f"{signed} {security} {suite}-security main")
    return lines


def apt_options(host: HostApt) -> str:
    """apt.conf text that images keep."""
    return "".join(f'{name} "{value}";\n' for name, value in sorted(host.options.items()))


def _archives(settings: HostSettings, host: HostApt) -> tuple[str, str]:
    told = settings.debian_mirror.split()
    for url in told:
        if not _URL.fullmatch(url) or len(told) > 2:
            raise DriverError(
                f"debian_mirror is {settings.debian_mirror!r}; give the URL of a mirror, "
                "and after a space that of its security archive if it has one",
                retry=False,
            )
    ours = [e for e in host.entries if _is_debian(e)]
    mirror = next((e.uri for e in ours if not _is_security(e)), DEFAULT_MIRROR)
    security = next((e.uri for e in ours if _is_security(e)), DEFAULT_SECURITY)
    return (told[0] if told else mirror, told[1] if len(told) > 1 else security)


def _is_debian(entry: Entry) -> bool:
    """Whether it is Debian's own archive, or a mirror of it: others have other paths or keys."""
    by_key = not entry.signed_by or "debian-archive" in entry.signed_by
    path = entry.uri.rstrip("/").rpartition("/")[2]
    return (
        by_key
        and "main" in entry.components
        and path.startswith("debian")
        and _URL.fullmatch(entry.uri) is not None
        and not any("backports" in suite for suite in entry.suites)
    )


def _is_security(entry: Entry) -> bool:
    return any(suite.endswith("-security") for suite in entry.suites)


def _host_options() -> Mapping[str, str]:
    try:
        said = subprocess.run(
            ["/usr/bin/apt-config", "dump", "--format", "%F=%v%n", *KEPT_OPTIONS],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            env={"PATH": "/usr/bin:/bin"},
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return {}
    values = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    return {n: v for n, v in values.items() if n in KEPT_OPTIONS and v in ("true", "false")}
