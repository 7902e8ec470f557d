"""What a call can end with, one class per stable `code` of the API.

Standard library only: the command line imports this before it knows whether it needs the network.

AlcoveError
├── NotFound         no such thing, or nothing you may know of
├── Conflict         not in a state for this, or the name is taken
├── Denied           a policy or a missing permission, with the reason
│   ├── Unauthenticated  no valid token
│   ├── QuotaExceeded    a limit of yours is reached
│   └── BudgetExhausted  the money or time set aside is used up
├── Invalid          the input is wrong; `errors` names each field at fault
├── Unsupported      this installation cannot do it
├── RateLimited      slow down; `retry_after_s`
├── Unavailable      the server, or a part of it, cannot be reached now
├── WorkspaceFailed  the workspace did not come to run; `reason` says why
├── WaitTimeout      the workspace was not there in the time given
└── CommandFailed    a command ended with another code than 0 (only with `check=True`)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from alcove.sdk.execs import ExecResult


@dataclass(frozen=True, slots=True)
class FieldError:
    """`field` is a path as the caller wrote it: `parameters.cpu`, `template.yaml:14: cpu`."""

    field: str
    message: str


class AlcoveError(Exception):
    """The base of all. `status` is None where no answer of the server stands behind it."""

    code: str = "failed"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        errors: Sequence[FieldError] = (),
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.errors = tuple(errors)
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class NotFound(AlcoveError):
    code = "not_found"


class Conflict(AlcoveError):
    code = "conflict"


class Denied(AlcoveError):
    code = "denied"


class Unauthenticated(Denied):
    code = "unauthenticated"


class QuotaExceeded(Denied):
    code = "quota_exceeded"


class BudgetExhausted(Denied):
    code = "budget_exhausted"


class Invalid(AlcoveError):
    code = "invalid"


class Unsupported(AlcoveError):
    code = "unsupported"


class RateLimited(AlcoveError):
    code = "rate_limited"


class Unavailable(AlcoveError):
    code = "unavailable"


class WorkspaceFailed(AlcoveError):
    code = "workspace_failed"


class SnapshotFailed(AlcoveError):
    code = "snapshot_failed"


class WaitTimeout(AlcoveError):
    code = "timeout"


class CommandFailed(AlcoveError):
    code = "command_failed"

    def __init__(self, message: str, result: "ExecResult") -> None:
        super().__init__(message)
        self.result = result


_BY_CODE: Final[Mapping[str, type[AlcoveError]]] = {
    kind.code: kind
    for kind in (
        NotFound,
        Conflict,
        Denied,
        Unauthenticated,
        QuotaExceeded,
        BudgetExhausted,
        Invalid,
        Unsupported,
        RateLimited,
        Unavailable,
    )
}
_BY_STATUS: Final[Mapping[int, type[AlcoveError]]] = {
    400: Invalid,
    401: Unauthenticated,
    403: Denied,
    404: NotFound,
    409: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    429: RateLimited,
    501: Unsupported,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
_MESSAGE_MAX: Final = 2000


def from_problem(
    status: int,
    body: object,
    *,
    request_id: str | None = None,
    retry_after_s: float | None = None,
) -> AlcoveError:
    """The error for an answer of the server, or of something between it and us.

    `code` decides, then the status: an answer from a proxy has no code, and a newer server may
    have codes that we do not know.
    """
    problem: Mapping[str, object] = (
        cast("Mapping[str, object]", body) if isinstance(body, dict) else {}
    )
    code = problem.get("code")
    kind = _BY_CODE.get(str(code)) or _BY_STATUS.get(status, AlcoveError)
    said = problem.get("detail") or problem.get("title") or f"the server answered {status}"
    error = kind(
        str(said)[:_MESSAGE_MAX],
        status=status,
        errors=_field_errors(problem.get("errors")),
        request_id=request_id,
        retry_after_s=retry_after_s,
    )
    if isinstance(code, str):
        error.code = code
    return error


def _field_errors(value: object) -> list[FieldError]:
    if not isinstance(value, list):
        return []
    found: list[FieldError] = []
    for item in cast("list[object]", value)[:100]:
        if isinstance(item, dict):
            entry = cast("Mapping[str, object]", item)
            found.append(FieldError(str(entry.get("field", "")), str(entry.get("message", ""))))
    return found
