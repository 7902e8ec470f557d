"""Addresses of Git repositories and names of branches: what may be cloned, and where to.

Pure. Only what `git clone` reaches over HTTP without credentials is let through: everything else
that git understands (`ext::`, local paths, options) would run or read something.
"""

import ipaddress
import re
from typing import Final
from urllib.parse import unquote

from alcove.recipes.problem import quoted

URL_MAX: Final = 2048
BRANCH_MAX: Final = 200
"""A branch is a file name in .git/refs, and `.lock` is put behind it."""
DIRECTORY_MAX: Final = 64

_SSH: Final = "SSH addresses need a key, and workspaces have none yet; write the https:// address"
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HELPER: Final = re.compile(r"[A-Za-z0-9+.-]*::")
_AUTHORITY: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::(?P<port>[0-9]{1,5}))?")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?")


def normalise(text: str) -> str:
    """The address to clone, `https://` put before a bare `host/path`.

    Raises ValueError with the reason; its message never holds what may be a credential.
    """
    _check_text(text)
    found = _SCHEME.match(text)
    if found is None:
        return normalise(f"https://{_bare(text)}")
    scheme = found[1].lower()
    if scheme in ("ssh", "git+ssh", "ssh+git"):
        raise ValueError(_SSH)
    if scheme not in ("http", "https"):
        raise ValueError(f"{scheme}:// addresses are not cloned; write an https:// one")
    authority, slash, path = text[found.end() :].partition("/")
    if "@" in authority:
        raise ValueError("has a user name or password in it; write the address without it")
    if "?" in text or "#" in text:
        raise ValueError("has a query or fragment (? or #); write the repository's address alone")
    path = path.rstrip("/")
    if not slash or not path:
        raise ValueError("names a host and no repository on it")
    if any(unquote(part) in (".", "..") for part in path.split("/")):
        raise ValueError("has . or .. in its path")
    if not unquote(path, errors="replace").isprintable():
        # Git undoes the % form before it speaks to credential helpers, line by line.
        raise ValueError("has a control character in its path, in % form")
    return f"{scheme}://{_authority(authority)}/{path}"


def directory(url: str) -> str:
    """The plain name below home that a clone goes to: the last part of the address."""
    name = unquote(url.rstrip("/").rpartition("/")[2]).removesuffix(".git")
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:DIRECTORY_MAX].rstrip(".-")
    return safe or "repository"


def check_branch(name: str) -> str:
    """The branch's short name, by the rules of git-check-ref-format(1). Raises ValueError."""
    short = name.removeprefix("refs/heads/")
    if len(short.encode(errors="replace")) > BRANCH_MAX:
        raise ValueError(f"is longer than {BRANCH_MAX} bytes")
    bad = re.search(r"[\x00-\x20\x7f~^:?*\[\\\ud800-\udfff]", short)
    if bad is not None:
        raise ValueError(f"{quoted(short)} has the character {quoted(bad[0])}")
    parts = short.split("/")
    wrong = (
        not all(parts)
        or short in ("@", "HEAD")
        or short.startswith("-")
        or short.endswith(".")
        or ".." in short
        or "@{" in short
        or any(part.startswith(".") or part.endswith(".lock") for part in parts)
    )
    if wrong:
        raise ValueError(f"{quoted(short)} is not a name that Git takes for a branch")
    return short


def plain_url(text: str) -> str:
    """The normal form where there is one, or else the text as it is; never raises."""
    try:
        return normalise(text)
    except ValueError:
        return text


def plain_branch(name: str) -> str:
    """Like `plain_url`, of a branch."""
    try:
        return check_branch(name)
    except ValueError:
        return name


def _check_text(text: str) -> None:
    if not text:
        raise ValueError("is empty")
    if len(text) > URL_MAX:
        raise ValueError(f"has {len(text)} characters; at most {URL_MAX} are allowed")
    if text.startswith("-"):
        raise ValueError("begins with a dash, like an option")
    bad = re.search(r"[^\x21-\x7e]|[\\\"<>^`{|}]", text)
    if bad is not None:
        said = "characters beyond plain ones are written in % form"
        raise ValueError(f"has the character {quoted(bad[0])}; {said}")


def _bare(text: str) -> str:
    """`host/path`, or the reason why it is something else."""
    if _HELPER.match(text):
        raise ValueError("names a remote helper (…::…), which would run a program")
    if text.startswith(("/", ".", "~")):
        raise ValueError("is a local path; write the https:// address")
    first = text.partition("/")[0]
    host, colon, port = first.partition(":")
    if "@" in first or (colon and not port.isdigit()):
        raise ValueError(_SSH)
    if "." not in host and host != "localhost":
        raise ValueError("names no host; write it like github.com/org/repository")
    return text


def _authority(text: str) -> str:
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        raise ValueError("does not name a host")
    host, port = found["host"].lower(), found["port"]
    if port is not None and not 0 < int(port) < 65536:
        raise ValueError(f"{port} is not a port")
    if host.startswith("["):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            raise ValueError(f"{quoted(host)} is not an IPv6 address") from None
    elif len(host) > 253 or not all(
        _LABEL.fullmatch(p) for p in host.removesuffix(".").split(".")
    ):
        raise ValueError(f"{quoted(host)} is not the name of a host")
    return host if port is None else f"{host}:{port}"
