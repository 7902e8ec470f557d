"""The first configuration file, written once by `alcove up` from what the machine uses itself.

Afterwards the file is the operator's. Everything it takes over is shown when it is written.
"""

import ipaddress
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit

CA_BUNDLE: Final = "/etc/ssl/certs/ca-certificates.crt"
_PIP: Final = (
    "from pip._internal.models.index import PyPI as i; print(i.simple_url, i.file_storage_domain)"
)


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
    if url := env.get("PIP_INDEX_URL") or _ask("pip", "config", "get", "global.index-url"):
        found["pip_index_url"] = url
    for name, variable in (("npm_registry", "NPM_CONFIG_REGISTRY"), ("goproxy", "GOPROXY")):
        if url := env.get(variable):
            found[name] = url
    if trusted := private_networks(_registries(env)):
        found["trusted_networks"] = list(trusted)
    return found


def hosts(texts: Iterable[str]) -> list[str]:
    """Host names in URLs, or in bare names, each once and in order."""
    found = (urlsplit(text if "://" in text else f"//{text}").hostname for text in texts)
    return [host for host in dict.fromkeys(found) if host]


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


def _registries(env: Mapping[str, str]) -> list[str]:
    """Where the package managers of this machine would ask: they know, so they are asked."""
    said = [
        env.get("PIP_INDEX_URL", ""),
        _ask(sys.executable, "-c", _PIP) or _ask("python3", "-c", _PIP),
        _ask("npm", "config", "get", "registry"),
        env.get("GOPROXY") or _ask("go", "env", "GOPROXY"),
        _ask("go", "env", "GOSUMDB"),
        _ask("apt-get", "indextargets", "--format", "$(SITE)"),
    ]
    return hosts(word for text in said for word in text.replace(",", " ").split())


def _ask(*command: str) -> str:
    """What a client on this machine answers about its own settings; "" when it is not there."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
