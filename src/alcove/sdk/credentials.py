"""What `alcove login` stored: one token per server, in a file that only its owner can read.

One rule: a token goes to the server it was stored for and to no other. Standard library only,
since the command line reads it on every start.
"""

import json
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit

from alcove.config import client
from alcove.sdk.errors import Invalid, Unauthenticated

URL_DEFAULT: Final = "http://127.0.0.1:7080"
_FILE: Final = "credentials.json"
_FILE_MAX: Final = 1024 * 1024
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Credentials:
    """The file below `directory`. `owner` (uid, gid) is for root writing another user's."""

    directory: Path
    owner: tuple[int, int] | None = None

    @property
    def path(self) -> Path:
        return self.directory / _FILE

    def token_for(self, url: str) -> str | None:
        """The token stored for this server. Raises Invalid for a file that is not safe to use."""
        entry = self._read().servers.get(normal_url(url))
        return None if entry is None else entry.get("token")

    def current_url(self) -> str | None:
        """The server that was signed in to last."""
        return self._read().current

    def urls(self) -> list[str]:
        return sorted(self._read().servers)

    def store(self, url: str, token: str, *, user: str = "") -> None:
        """Keep a token and make its server the current one; replaces the file in one step."""
        stored = self._read()
        url = normal_url(url)
        entry = {"token": token, "user": user}
        self._write(_Stored(current=url, servers={**stored.servers, url: entry}))

    def make_current(self, url: str) -> None:
        """Have commands speak to this server; nothing happens without a token for it."""
        stored = self._read()
        url = normal_url(url)
        if url in stored.servers and stored.current != url:
            self._write(_Stored(current=url, servers=stored.servers))

    def forget(self, url: str) -> bool:
        """Drop the token of a server; False when there was none."""
        stored = self._read()
        url = normal_url(url)
        if url not in stored.servers:
            return False
        servers = {known: entry for known, entry in stored.servers.items() if known != url}
        current = next(iter(servers), None) if stored.current == url else stored.current
        self._write(_Stored(current=current, servers=servers))
        return True

    def _read(self) -> "_Stored":
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return _Stored(current=None, servers={})
        except OSError as error:
            raise Invalid(f"cannot read {self.path}: {error.strerror}") from error
        with os.fdopen(descriptor, "rb") as file:
            self._refuse_if_shared(os.fstat(file.fileno()))
            return _parse(file.read(_FILE_MAX), self.path)

    def _refuse_if_shared(self, about: os.stat_result) -> None:
        mode = stat.S_IMODE(about.st_mode)
        if mode & 0o077:
            raise Invalid(
                f"{self.path} can be read by others (mode {mode:04o}): your tokens may be known. "
                f"Run `chmod 600 {self.path}`, and sign in again if others use this machine"
            )
        if about.st_uid not in (os.geteuid(), 0) and os.geteuid() != 0:
            raise Invalid(f"{self.path} belongs to another user; move it away and sign in again")

    def _write(self, stored: "_Stored") -> None:
        made = [path for path in (self.directory, *self.directory.parents) if not path.exists()]
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = {"version": 1, "current": stored.current, "servers": stored.servers}
        scratch = self.directory / f".{_FILE}.{secrets.token_hex(4)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(scratch, flags, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                if self.owner is not None:
                    os.fchown(file.fileno(), *self.owner)
                file.write(json.dumps(content, indent=2) + "\n")
                file.flush()
                os.fsync(file.fileno())
            if self.owner is not None:
                for path in made:
                    os.chown(path, *self.owner, follow_symlinks=False)
            scratch.replace(self.path)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server, and the token to show it."""

    url: str
    token: str

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.url)


def resolve(url: str | None = None, token: str | None = None) -> Endpoint:
    """What was passed, else `ALCOVE_URL` and `ALCOVE_TOKEN`, else what `alcove login` stored.

    Raises Unauthenticated where no token is known for the server that was found.
    """
    found = client()
    stored = Credentials(found.config_dir)
    asked = url or found.url
    # A stored token is looked up under its own URL only; ALCOVE_TOKEN belongs to ALCOVE_URL, or
    # to whatever server is meant when that is not set.
    if token is None and (url is None or found.url is None or _same(url, found.url)):
        token = found.token
    if asked is None:
        asked = stored.current_url() or URL_DEFAULT
    asked = normal_url(asked)
    token = token or stored.token_for(asked)
    if token is None:
        raise Unauthenticated(
            f"not signed in to {asked}: run `alcove login {asked}`, or set ALCOVE_TOKEN"
        )
    return Endpoint(asked, _checked_token(token))


def normal_url(url: str) -> str:
    """`scheme://host[:port][/path]`, so that one server has one name. Raises Invalid."""
    parts = urlsplit(url if "://" in url else f"https://{url}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Invalid(f"{url!r} is not a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise Invalid(f"{url!r} is not the URL of a server; write it like {URL_DEFAULT}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise Invalid(f"the URL of a server has no password, query or fragment: {host}")
    place = f"[{host}]" if ":" in host else host
    where = f"{place}:{port}" if port and port != _PORTS[parts.scheme] else place
    return f"{parts.scheme}://{where}{parts.path.rstrip('/')}"


def _same(one: str, other: str) -> bool:
    return normal_url(one) == normal_url(other)


def is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in _LOOPBACK


_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class _Stored:
    current: str | None
    servers: Mapping[str, Mapping[str, str]]


def _parse(content: bytes, path: Path) -> _Stored:
    try:
        value = json.loads(content)
        servers = {str(url): _texts(entry) for url, entry in value["servers"].items()}
        current = value.get("current")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Invalid(f"{path} is damaged ({error}); remove it and sign in again") from error
    return _Stored(current=None if current is None else str(current), servers=servers)


def _texts(entry: object) -> dict[str, str]:
    if not isinstance(entry, dict):
        raise TypeError("a server's entry is not an object")
    return {str(key): str(text) for key, text in cast("dict[str, object]", entry).items()}


def _checked_token(token: str) -> str:
    """A token that fits into a header. A stray newline in a file is the usual mistake."""
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise Unauthenticated("the token has characters that no token has; copy it again")
    return token
