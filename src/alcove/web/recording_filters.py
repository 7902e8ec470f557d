"""The filters of what is kept of sessions, as they stand in the address."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from fastapi import Depends, Query

from alcove.core.recording_reading import QUERY_MAX, Wanted
from alcove.model.errors import FieldError, Invalid
from alcove.model.recording import SessionKind
from alcove.web.addresses import filtered

Text = Annotated[str, Query(max_length=128)]


@dataclass(frozen=True, slots=True)
class Asked:
    """The filters as they stand in the address."""

    q: str = ""
    workspace: str = ""
    actor: str = ""
    kind: str = ""
    since: str = ""
    until: str = ""
    base: str = "/recordings"

    def wanted(self) -> Wanted:
        """Raises Invalid for what is no day. What is no kind of ours filters nothing."""
        last = _day_of("until", self.until)
        return Wanted(
            workspace=self.workspace or None,
            actor=self.actor or None,
            kind=SessionKind(self.kind) if self.kind in set(SessionKind) else None,
            since=_day_of("since", self.since),
            until=None if last is None else last + timedelta(days=1),
            text=self.q or None,
        )

    def path(self, **changed: str) -> str:
        known = {
            "q": self.q,
            "workspace": self.workspace,
            "actor": self.actor,
            "kind": self.kind,
            "since": self.since,
            "until": self.until,
        } | changed
        return filtered(self.base, known)


async def asked_for(
    q: Annotated[str, Query(max_length=QUERY_MAX)] = "",
    workspace: Text = "",
    by: Annotated[str, Query(alias="actor", max_length=128)] = "",
    kind: Text = "",
    since: Text = "",
    until: Text = "",
) -> Asked:
    return Asked(q.strip(), workspace.strip(), by.strip(), kind, since, until)


Filters = Annotated[Asked, Depends(asked_for)]


def _day_of(name: str, text: str) -> datetime | None:
    """The beginning of that day, in UTC."""
    if not text:
        return None
    try:
        return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
    except ValueError:
        said = "write a day as 2026-01-31"
        raise Invalid(f"{name}: {said}", [FieldError(name, said)]) from None
