"""Signing in through a browser: the code, where it is wanted, and the wait for an approval."""

import re
import socket
from typing import TYPE_CHECKING, Final

from alcove.cli import screen
from alcove.config import client
from alcove.sdk.errors import AlcoveError, Denied, NotFound, Unauthenticated

if TYPE_CHECKING:
    from alcove.wire.devices import DeviceToken

NAME_MAX: Final = 64
_NOT_PLAIN: Final = re.compile(r"[^A-Za-z0-9 ._@/-]+")


def sign_in(server: str, *, browser: bool = True) -> "DeviceToken":
    """The token of whoever approves this program. Raises AlcoveError."""
    from alcove.cli.session import prepare  # noqa: PLC0415

    prepare()
    from alcove.sdk import DeviceSignIn  # noqa: PLC0415 - an HTTP client takes time to load

    with DeviceSignIn(server) as device:
        try:
            codes = device.begin(client_name())
        except NotFound as error:
            raise AlcoveError(
                f"{server} answers, but lets no programs in through a browser: it is no Alcove "
                "server, or an old one. `alcove login --token -` takes a token from stdin"
            ) from error
        opened = browser and client().desktop and _open(codes.url_with_code)
        screen.say(f"Sign in to {server} in a browser, and compare the code:\n")
        screen.say(f"    {codes.user_code}\n")
        if opened:
            screen.say("It should have opened by itself. If not, go to")
        else:
            screen.say("Go to")
        screen.say(f"    {codes.url_with_code}\n")
        with screen.progress("waiting for you to approve it there"):
            try:
                return device.wait()
            except AlcoveError as error:
                raise _refusal(error) from error


def client_name(host: str | None = None) -> str:
    """What people are shown, and how the token is called: `alcove on ada-laptop`."""
    name = host if host is not None else socket.gethostname()
    return plain_name(f"alcove on {name.partition('.')[0] or 'a machine'}")


def plain_name(text: str) -> str:
    """As the server takes the names of tokens and keys."""
    return _NOT_PLAIN.sub("-", text).lstrip("-._@/ ")[:NAME_MAX] or "unnamed"


def _refusal(error: AlcoveError) -> AlcoveError:
    match error.code:
        case "access_denied":
            return Denied("nobody is signed in: it was denied in the browser")
        case "expired_token":
            return Unauthenticated(
                "nobody approved it in time, so that nobody is signed in; run it again"
            )
        case _:
            return error


def _open(url: str) -> bool:
    """Whether a browser took it. What a server says is no command: only pages are opened."""
    import webbrowser  # noqa: PLC0415 - by need

    return url.startswith(("https://", "http://")) and webbrowser.open(url)
