"""The first configuration file, written once by `alcove up` from what the machine uses itself.

Afterwards the file is the operator's. Everything it takes over is shown when it is written.
"""

import ipaddress
import os
import shutil
import socket
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit

CA_BUNDLE: Final = "/etc/ssl/certs/ca-certificates.crt"
_MIRRORS: Final = {
    "pip_index_url": "https://pypi.org/simple",
    "npm_registry": "https://registry.npmjs.org",
    "goproxy": "https://proxy.golang.org",
    "debian_mirror": "http://deb.debian.org/debian",
}
_ALSO_USED: Final = ("files.pythonhosted.org", "sum.golang.org")


def detect() -> dict[str, object]:
    """The settings this machine suggests: its CA bundle, proxies, mirrors, and their networks."""
    env = os.environ  # noqa: TID251 - the operator's own shell, read once to write the file
    found: dict[str, object] = {}
    bundle = env.get("SSL_CERT_FILE", "")
    if bundle and Path(bundle).is_file():
        found["ca_bundle"] = bundle
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        if value := env.get(name.upper()) or env.get(name):
            found[name] = value
    mirrors = _mirrors(env)
    found |= {k: v for k, v in mirrors.items() if v != _MIRRORS[k]}
    if trusted := private_networks(hosts(mirrors.values())):
        found["trusted_networks"] = list(trusted)
    return found


def hosts(urls: Iterable[str]) -> list[str]:
    """Host names in a collection of URLs, and those that the same registries also use."""
    named = [urlsplit(url).hostname or "" for url in urls]
    return [h for h in dict.fromkeys([*named, *_ALSO_USED]) if h]


def private_networks(names: Sequence[str]) -> Sequence[str]:
    """Single addresses, outside the public ranges, that the given names resolve to.

    Workspaces may reach no such address unless the operator says so; a company's own mirror
    usually has one.
    """
    found: set[str] = set()
    for name in names:
        try:
            answers = socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM)
        except OSError:
            continue
        for *_, address in answers:
            ip = ipaddress.ip_address(address[0])
            if not ip.is_global and not ip.is_loopback and ip.version == 4:
                found.add(f"{ip}/32")
    return sorted(found)


def as_toml(values: Mapping[str, object]) -> str:
    """The file's text: plain assignments under a line that says what it is."""
    lines = [
        "# Settings of this Alcove server; every one is described in docs/operator/settings.md.\n"
    ]
    for name, value in values.items():
        lines.append(f"{name} = {_toml(value)}\n")
    return "".join(lines)


def _toml(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(v) for v in cast(list[object], value)) + "]"
    if isinstance(value, int):
        return str(value).lower()
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _mirrors(env: Mapping[str, str]) -> dict[str, str]:
    found = dict(_MIRRORS)
    if (
        url := env.get("PIP_INDEX_URL")
        or env.get("UV_INDEX_URL")
        or _ask("pip", "config", "get", "global.index-url")
    ):
        found["pip_index_url"] = url
    if url := _ask("npm", "config", "get", "registry"):
        found["npm_registry"] = url.rstrip("/")
    if proxy := env.get("GOPROXY") or _ask("go", "env", "GOPROXY"):
        found["goproxy"] = proxy.split(",")[0]
    return {k: v for k, v in found.items() if v.startswith(("http://", "https://"))}


def _ask(*command: str) -> str:
    """What a client on this machine answers about its own settings; "" when it is not there."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
