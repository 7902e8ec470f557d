"""An error in words for a model: what happened, and what to do now."""

from typing import Final

from alcove.http.problem import HttpError
from alcove.model.errors import (
    AlcoveError,
    Conflict,
    Denied,
    DriverError,
    Invalid,
    NotFound,
    QuotaExceeded,
    TooMany,
    Unauthenticated,
    Unavailable,
    Unsupported,
)

FIELDS_MAX: Final = 10


def advised(error: Exception) -> str:
    """Begins with the error's stable word. Nothing of the inside of a bug is told."""
    if isinstance(error, HttpError):
        return f"invalid: {error}"
    if not isinstance(error, AlcoveError):
        return "failed: something went wrong in the server, whose log has more. Tell your user."
    return f"{error.code}: {error}{_fields(error)}{_advice(error)}"


def _fields(error: AlcoveError) -> str:
    if not isinstance(error, Invalid):
        return ""
    said = [f"{e.field}: {e.message}" for e in error.errors[:FIELDS_MAX]]
    lines = [line for line in said if line not in str(error)]
    return "".join(f"\n- {line}" for line in lines)


def _advice(error: AlcoveError) -> str:
    match error:
        case NotFound() if str(error).startswith("there is no workspace"):
            return ". list_sandboxes shows those you may use."
        case NotFound() if str(error).startswith("there is no template"):
            return ". list_templates shows those there are."
        case Denied() | Unauthenticated():
            return ". Do not try again: the token is not allowed to. Ask your user."
        case QuotaExceeded():
            return ". Delete a sandbox that is no longer needed, or ask your user."
        case TooMany():
            return f". Try again in {error.retry_after_s} s."
        case Unsupported():
            return ". This installation cannot do it; do without."
        case Unavailable() | DriverError():
            return ". It may pass: try again in a few seconds, and not more than three times."
        case Conflict():
            return ". get_sandbox shows how it is."
        case _:
            return ""
