"""Signing a program in through a browser: RFC 8628, in JSON. Times here are seconds, as there."""

from typing import Annotated

from pydantic import StringConstraints

from alcove.wire.base import Answer, Request
from alcove.wire.tokens import TokenCreated


class NewDeviceLogin(Request):
    client: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._@/-]{0,63}$")]
    """What asks, for people to recognise, and the token's name: `alcove on ada-laptop`."""


class DeviceLogin(Answer):
    """Show `user_code`, and where it is wanted; ask for the token every `interval` seconds."""

    device_code: str
    """For the program alone."""
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    """The same with the code filled in."""
    expires_in: int
    interval: int


class DeviceTokenRequest(Request):
    device_code: Annotated[str, StringConstraints(min_length=1, max_length=256)]


class DeviceToken(TokenCreated):
    """The token, shown this once."""
