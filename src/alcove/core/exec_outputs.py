"""What commands without a terminal wrote: kept while they run, written with their events.

A command costs no statement of its own: the journal writes what was kept in the transaction that
writes `exec.finished`, whose detail has the id and the digest of it, and nothing of the output.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from alcove.core import identity
from alcove.core.names import new_exec_output_id
from alcove.core.recording_search import plain
from alcove.model.access import SYSTEM, Actor
from alcove.model.event import EventKind, NewEvent
from alcove.model.exec_output import NOTHING, Ends, ExecOutput
from alcove.model.recording import RecordingPolicy
from alcove.model.units import parse_duration
from alcove.model.workspace import Workspace
from alcove.store import events, exec_outputs
from alcove.store.exec_outputs import Removed

if TYPE_CHECKING:
    from alcove.core.app import Core

SUBJECT: Final = "exec-outputs"
"""Of events that are about many."""
BATCH: Final = 500
ROUNDS: Final = 200
"""Batches that one look removes at most; the next look goes on."""
EXIT_CODES: Final = range(-(2**31), 2**31)


class Keeping:
    """Of one command, while it runs: the two ends of what it writes."""

    __slots__ = ("stderr", "stdout")

    def __init__(self, most: int) -> None:
        self.stdout, self.stderr = Ends(most), Ends(most)


def keeping(core: "Core") -> Keeping | None:
    """None where the operator wants no output kept."""
    settings = core.settings
    if not settings.exec_output_bytes or settings.recording == RecordingPolicy.OFF:
        return None
    return Keeping(settings.exec_output_bytes)


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that is over, as its event tells it."""

    command: Sequence[str]
    exit_code: int | None
    duration_ms: float
    at: datetime


def made(
    core: "Core", actor: Actor, workspace: Workspace, ran: Ran, kept: Keeping
) -> ExecOutput | None:
    """What is to be written of it; None where it wrote nothing."""
    stdout, stderr = kept.stdout.kept(), kept.stderr.kept()
    if stdout == stderr == NOTHING:
        return None
    # How it ended is a workspace's word, and may be no number that a database has.
    known = ran.exit_code is not None and ran.exit_code in EXIT_CODES
    return ExecOutput(
        id=new_exec_output_id(),
        workspace=workspace.id,
        owner=workspace.owner,
        actor=actor.id,
        command=" ".join(ran.command),
        exit_code=ran.exit_code if known else None,
        duration_ms=ran.duration_ms if math.isfinite(ran.duration_ms) else 0.0,
        stdout=stdout,
        stderr=stderr,
        at=ran.at,
        expires_at=expiry(core, ran.at),
    )


def detail_of(output: ExecOutput | None) -> Mapping[str, object]:
    """What `exec.finished` says of it."""
    if output is None:
        return {}
    return {
        "output": output.id,
        "digest": output.digest,
        "stdout_bytes": output.stdout.size,
        "stderr_bytes": output.stderr.size,
    }


def text_of(output: ExecOutput) -> str:
    """What a search looks through: what has NUL in it is no text, and costs to read as one."""
    streams = (output.stdout, output.stderr)
    pieces = [end for one in streams for end in (one.head, one.tail) if end and 0 not in end]
    shown = [plain(piece.decode("utf-8", "replace")) for piece in pieces]
    return "\n".join((output.command, *shown)).casefold()


async def tidy(core: "Core") -> None:
    """Remove those whose time is over, and the oldest of too many. Raises Unavailable."""
    for _ in range(ROUNDS):
        async with core.db.transaction() as tx:
            removed = await exec_outputs.remove_expired(tx, now=core.clock(), limit=BATCH)
            if removed is None:
                break
            await events.append(tx, core.clock(), _removed(removed, "their time is over"))
    async with core.db.scan() as tx:
        used = await exec_outputs.used(tx)
    core.metrics.exec_outputs_used.set(used)
    await _make_room(core, used)


async def _make_room(core: "Core", used: int) -> None:
    """Removes until no more than the setting allows is left, as far as one look goes."""
    most = core.settings.exec_outputs_mib_max << 20
    for _ in range(ROUNDS):
        if used <= most:
            return
        async with core.db.transaction() as tx:
            removed = await exec_outputs.remove_oldest(tx, size=used - most, limit=BATCH)
            if removed is None:
                return
            await events.append(tx, core.clock(), _removed(removed, "there were too many"))
        used -= removed.size


def _removed(removed: Removed, why: str) -> NewEvent:
    detail = {"count": removed.count, "until": removed.until.isoformat(), "why": why}
    return identity.event(
        SYSTEM, EventKind.RECORDING_REMOVED, subject=SUBJECT, owner=None, detail=detail
    )


def expiry(core: "Core", now: datetime) -> datetime | None:
    """Until when what is kept of a session that ends now is kept; None for ever."""
    text = core.settings.recording_ttl
    return now + _duration(text) if text else None


@lru_cache(maxsize=8)
def _duration(text: str) -> timedelta:
    return timedelta(seconds=parse_duration(text))
