"""`alcove ssh --stdio W`: what OpenSSH starts as its `ProxyCommand`.

Stdin and stdout are the SSH connection; it goes to the server over one WebSocket, with the token
as the proof. It is started for each connection and loads nothing that it can do without: see
`main`, which comes here before it loads the command line.
"""

import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from alcove.config import client
from alcove.sdk.credentials import resolve
from alcove.sdk.errors import Invalid
from alcove.sdk.raw_socket import carry, open_raw
from alcove.sdk.version import user_agent

DIRECTORY: Final = "ssh"
HOST_KEY_HEADER: Final = "alcove-host-key"
_KEY_TYPES: Final = frozenset({"ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256"})
_KEY_MAX: Final = 4096


def main(argv: Sequence[str]) -> None:
    """`ssh --stdio [--url URL] [--suffix SUFFIX] WORKSPACE`, as we write it into configurations.

    Raises AlcoveError; returns when the connection has ended.
    """
    url, ref = _read(argv[2:])
    found = client()
    endpoint = resolve(url)
    path = f"/api/v2/ssh?workspace={quote(ref, safe='')}"
    raw = open_raw(
        endpoint.url + path,
        token=endpoint.token,
        user_agent=user_agent(),
        proxy=None if endpoint.is_loopback else proxy_for(endpoint.url, found.proxies),
    )
    keys = raw.headers.get(HOST_KEY_HEADER, "")
    if keys:
        remember_host_keys(found.config_dir, endpoint.url, keys.split(","))
    carry(raw, 0, 1)


def workspace_of(host: str, suffix: str = "") -> str:
    """`api.alcove` is `api`, and `api.ada.alcove` Ada's."""
    name = host.lower().removesuffix(suffix.lower()) if suffix else host
    workspace, dot, owner = name.partition(".")
    return f"{owner}/{workspace}" if dot and "/" not in name else name


def alias_of(url: str) -> str:
    """The name under which OpenSSH knows the host keys of a server."""
    parts = urlsplit(url)
    return f"alcove--{parts.netloc.replace(':', '-').replace('[', '').replace(']', '')}"


def known_hosts(config_dir: Path) -> Path:
    return config_dir / DIRECTORY / "known_hosts"


def remember_host_keys(config_dir: Path, url: str, keys: Sequence[str]) -> None:
    """Have OpenSSH know these keys of a server, and no others of it.

    The server said them over the connection that its certificate and our token vouch for, and
    OpenSSH looks them up only after we have passed bytes on.
    """
    lines = [f"{alias_of(url)} {key.strip()}" for key in keys if _is_key(key.strip())]
    path = known_hosts(config_dir)
    try:
        before = path.read_text()
    except OSError:
        before = ""
    kept = [line for line in before.splitlines() if line.partition(" ")[0] != alias_of(url)]
    now = "\n".join([*kept, *lines, ""])
    if not lines or now == before:
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    scratch = path.with_name(f".known_hosts.{secrets.token_hex(4)}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(now)
    scratch.replace(path)


def proxy_for(url: str, proxies: Mapping[str, str]) -> str | None:
    """What the environment says about this server, by the names that curl knows."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    for name in proxies.get("no", "").split(","):
        without = name.strip().removeprefix("*").removeprefix(".")
        if name.strip() == "*" or (without and (host == without or host.endswith(f".{without}"))):
            return None
    return proxies.get(parts.scheme) or proxies.get("all")


def _is_key(text: str) -> bool:
    kind, _, body = text.partition(" ")
    return kind in _KEY_TYPES and len(text) < _KEY_MAX and text.isprintable() and " " not in body


def _read(argv: Sequence[str]) -> tuple[str | None, str]:
    options = {"--url": "", "--suffix": ""}
    rest = list(argv)
    while len(rest) >= 2 and rest[0] in options:
        options[rest[0]] = rest[1]
        del rest[:2]
    rest = rest[1:] if rest[:1] == ["--"] else rest
    if len(rest) != 1 or rest[0].startswith("-"):
        raise Invalid("write `alcove ssh --stdio WORKSPACE`")
    return options["--url"] or None, workspace_of(rest[0], options["--suffix"])
