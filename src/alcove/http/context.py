"""What the edge learned about a request, before anything else looks at it."""

from dataclasses import dataclass
from typing import Any, Final

from starlette.types import Scope

_KEY: Final = "alcove.context"


@dataclass(slots=True)
class Context:
    """`actor` is filled in once the caller is known, for the access log."""

    request_id: str
    address: str
    secure: bool
    """The client speaks TLS, to us or to the proxy in front."""
    actor: str = ""
    foreign: bool = False
    """The answer is that of an app in a workspace; our own headers are not for it."""


def context_of(scope: Scope) -> Context:
    found: Any = scope.get(_KEY)
    return Context(request_id="", address="", secure=False) if found is None else found


def set_context(scope: Scope, context: Context) -> None:
    scope[_KEY] = context
