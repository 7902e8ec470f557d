"""Which sandbox and which of its ports a request is for. Pure.

E2B's clients say it in headers, or in the name of the host; with neither, the path may.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from alcove.drivers.base import AGENT_PORT

_CONTROL: Final = re.compile(
    r"/(v2|v3|sandboxes|templates|snapshots|volumes|secrets|teams)(/.*)?", re.DOTALL
)
_LABEL: Final = re.compile(r"([1-9][0-9]{0,4})-([a-z0-9-]{1,58})")
_PATH: Final = re.compile(r"/s/([^/]*)(/.*)?", re.DOTALL)
_ENVD: Final = re.compile(
    r"/(files|files/compose|health|process\.Process/.*|filesystem\.Filesystem/.*)", re.DOTALL
)
PORT_MAX: Final = 65535


@dataclass(frozen=True, slots=True)
class Target:
    """`sandbox` is what the caller wrote, and empty where they wrote none."""

    sandbox: str
    port: int
    path: str
    prefix: str = ""
    """The part of the path that said so."""


class Api:
    """The request is for the control API."""


API: Final = Api()


def by_host(host: str, domain: str, path: str) -> Target | Api | None:
    """What a host below the domain is for; None for every other host."""
    name, base = _without_port(host.lower()), _without_port(domain.lower())
    if not base or not name.endswith(f".{base}"):
        return None
    label = name[: -len(base) - 1]
    if label == "api":
        return API
    found = _LABEL.fullmatch(label)
    if found is None or int(found[1]) > PORT_MAX:
        return None
    return Target(found[2], int(found[1]), path)


def at_root(path: str, query: str) -> Target | None:
    """A signed URL. Clients put it together from the host alone, leaving out our own prefix."""
    if path == "/files" and ("&" + query).find("&signature=v1_") >= 0:
        return Target("", AGENT_PORT, path)
    return None


def by_request(headers: Mapping[str, str], path: str) -> Target | Api | None:
    """For a request at our own address: by path, else by headers; None for neither.

    Some clients send the headers with calls of the control API too: there the path counts.
    """
    if found := _PATH.fullmatch(path):
        label = _LABEL.fullmatch(found[1])
        if label is None or int(label[1]) > PORT_MAX:
            return None
        return Target(label[2], int(label[1]), found[2] or "/", prefix=f"/s/{found[1]}")
    sandbox = headers.get("e2b-sandbox-id", "")
    port = _port(headers.get("e2b-sandbox-port"))
    if sandbox and port is None:
        return None
    if sandbox and port != AGENT_PORT:
        return Target(sandbox, port or 0, path)
    if _CONTROL.fullmatch(path):
        return API
    if sandbox or _ENVD.fullmatch(path):
        return Target(sandbox, AGENT_PORT, path)
    return API


def _port(text: str | None) -> int | None:
    """None for what is no port."""
    if text is None:
        return AGENT_PORT
    if not text.isascii() or not text.isdecimal() or len(text) > 5:
        return None
    port = int(text)
    return port if 1 <= port <= PORT_MAX else None


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host
