"""Events: what happened, in the order of commits."""

from datetime import datetime
from typing import Any

from alcove.wire.base import Answer


class Event(Answer):
    """`seq` has no gaps; it is the `id:` of the streamed form and what `Last-Event-ID` takes."""

    seq: int
    at: datetime
    type: str
    """`workspace.created`, `user.disabled`, …"""
    actor: str
    """Name of the user, or `system`."""
    actor_id: str
    subject: str
    """Id of what it is about."""
    owner: str | None
    """Name of the user whom the subject belongs to."""
    detail: dict[str, Any]
    address: str
    request_id: str
