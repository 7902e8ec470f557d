"""Outcomes a caller acts on. Each knows whose fault it is and whether trying again can help.

AlcoveError
├── NotFound        there is no such thing, or the caller may not know that there is
├── Conflict        the thing is not in a state for this, or the name is taken
│   └── SessionEnded    somebody ended the connection
├── Denied          a policy or a missing permission, with the reason
├── Unauthenticated no valid credential
├── NoGrant         a program's sign-in by device has given no token (yet)
├── Invalid         the input is wrong; every field at fault is named
│   └── OutOfRange  it asks for bytes that are not there
├── QuotaExceeded   a limit of the caller's is reached
├── TooMany         slow down; `retry_after_s`
├── Unsupported     asked for what this installation cannot do; never downgraded silently
├── Unavailable     a part of the system cannot be reached now; trying again can help
│   └── NotListening  nothing inside the workspace listens on that port
└── DriverError     the runtime refused or failed
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """`field` is a path as the caller wrote it: `parameters.cpu`, `template.yaml:14: cpu`."""

    field: str
    message: str


class AlcoveError(Exception):
    """The base of all of them; `code` is the stable word of the API."""

    code = "failed"


class NotFound(AlcoveError):
    code = "not_found"


class Conflict(AlcoveError):
    code = "conflict"


class SessionEnded(Conflict):
    code = "session_ended"


class Denied(AlcoveError):
    code = "denied"


class Unauthenticated(AlcoveError):
    code = "unauthenticated"


class NoGrant(AlcoveError):
    """`code` is RFC 8628's word (section 3.5): `authorization_pending`, `slow_down`,
    `access_denied` or `expired_token`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Invalid(AlcoveError):
    code = "invalid"

    def __init__(self, message: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(message)
        self.errors = tuple(errors)


class OutOfRange(Invalid):
    code = "range_not_satisfiable"


class QuotaExceeded(AlcoveError):
    code = "quota_exceeded"


class TooMany(AlcoveError):
    code = "rate_limited"

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unsupported(AlcoveError):
    code = "unsupported"


class Unavailable(AlcoveError):
    code = "unavailable"


class NotListening(Unavailable):
    code = "not_listening"


class DriverError(AlcoveError):
    """The runtime refused or failed. `retry` says whether trying again can help."""

    code = "unavailable"

    def __init__(self, message: str, *, retry: bool) -> None:
        super().__init__(message)
        self.retry = retry
