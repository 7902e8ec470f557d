"""When a workspace ends by itself: pure decisions, each with the sentence that is shown.

They look at the row and the time only, so that what fell due while no server ran is done as soon
as one does.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from alcove.model.units import format_duration
from alcove.model.workspace import Desired, OnExpiry, OnIdle, Phase, Workspace

NOTICE: Final = timedelta(days=2)
"""Between the announcement and the deletion of what nobody uses, at least this."""
CPU_SHARE_IDLE: Final = 0.02
"""Of one core, over the time between two samples: a waiting shell stays far below."""
IO_BYTES_IDLE: Final = 1 << 20
NETWORK_BYTES_IDLE: Final = 64 << 10


class Decision(StrEnum):
    STOP = "stop"
    PAUSE = "pause"
    KEEP = "keep"
    """It does not run, so that its time ends without anything being done to it."""
    DELETE = "delete"
    ANNOUNCE = "announce"


@dataclass(frozen=True, slots=True)
class Verdict:
    decision: Decision
    reason: str


def decide(workspace: Workspace, *, idle_since: datetime | None, now: datetime) -> Verdict | None:
    """What is due for this workspace; None when nothing is.

    `idle_since`: when the last sign of life was, None when that is not known.
    """
    if workspace.desired is Desired.DELETED or workspace.phase is Phase.DELETED:
        return None
    if workspace.expires_at is not None and workspace.expires_at <= now:
        return _when_expired(workspace, workspace.expires_at)
    if workspace.desired is Desired.STOPPED:
        return _when_stopped(workspace, now)
    if workspace.phase in (Phase.FAILED, Phase.PAUSED):
        return _when_unused(workspace, now)
    return _when_running(workspace, idle_since, now)


def _when_expired(workspace: Workspace, expires_at: datetime) -> Verdict | None:
    lived = _round(expires_at - workspace.created_at)
    if workspace.lifetime.on_expiry is OnExpiry.DELETE:
        return Verdict(Decision.DELETE, f"deleted: lived its {lived}")
    if workspace.phase is Phase.RUNNING and workspace.desired is Desired.RUNNING:
        return Verdict(Decision.PAUSE, f"paused: lived its {lived}")
    if workspace.phase in (Phase.PAUSED, Phase.STOPPED, Phase.FAILED):
        return Verdict(Decision.KEEP, f"lived its {lived}")
    # On its way to something; it is looked at again when it is there.
    return None


def _when_stopped(workspace: Workspace, now: datetime) -> Verdict | None:
    if workspace.phase is Phase.STOPPED and workspace.spec.ephemeral:
        why = workspace.reason.removeprefix("stopped: ")
        return Verdict(Decision.DELETE, f"deleted: ephemeral, and stopped ({why})")
    return _when_unused(workspace, now) if workspace.phase is Phase.STOPPED else None


def _when_unused(workspace: Workspace, now: datetime) -> Verdict | None:
    after_s = workspace.lifetime.unused_delete_s
    if after_s is None:
        return None
    after = timedelta(seconds=after_s)
    notice = min(NOTICE, after / 2)
    due = workspace.last_used_at + after
    announced = workspace.announced_at
    if announced is None:
        if now < due - notice:
            return None
        end = max(due, now + notice).date().isoformat()
        said = f"will be deleted on {end}: not used for {_round(now - workspace.last_used_at)}"
        return Verdict(Decision.ANNOUNCE, said)
    if now >= due and now >= announced + notice:
        return Verdict(Decision.DELETE, f"deleted: not used for {_round(after)}")
    return None


def _when_running(
    workspace: Workspace, idle_since: datetime | None, now: datetime
) -> Verdict | None:
    if workspace.phase is not Phase.RUNNING or workspace.desired is not Desired.RUNNING:
        return None
    if workspace.stop_at is not None and workspace.stop_at <= now:
        longest = workspace.lifetime.runtime_max_s
        ran = f"its {format_duration(longest)}" if longest else "until it was to stop"
        return Verdict(Decision.STOP, f"stopped: ran {ran}")
    idle_s = workspace.lifetime.idle_stop_s
    if idle_s is None or idle_since is None:
        return None
    if now - idle_since >= timedelta(seconds=idle_s):
        if workspace.lifetime.on_idle is OnIdle.PAUSE:
            return Verdict(Decision.PAUSE, f"paused: idle for {_in_words(idle_s)}")
        return Verdict(Decision.STOP, f"stopped: idle for {_in_words(idle_s)}")
    return None


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen of a running workspace at one moment. Counters grow within a boot.

    None: could not be told.
    """

    at: datetime
    boot: str | None
    cpu_usec: int | None = None
    io_bytes: int | None = None
    network_bytes: int | None = None
    in_use: bool | None = None
    """Execs, terminals, streams or connections are open."""


@dataclass(frozen=True, slots=True)
class Activity:
    """The last sample, and when the last sign of life was."""

    sample: Sample
    idle_since: datetime


def advance(before: Activity | None, sample: Sample) -> Activity:
    """Take a sample into account. Without one before, or in a new boot, idleness begins now:
    a restart of the server never stops what somebody uses."""
    if before is None or before.sample.boot != sample.boot or is_active(before.sample, sample):
        return Activity(sample, idle_since=sample.at)
    return Activity(sample, idle_since=before.idle_since)


def is_quiet(before: Sample, sample: Sample) -> bool | None:
    """Whether the counters show next to nothing; None when there are none to compare."""
    passed = (sample.at - before.at).total_seconds()
    if sample.cpu_usec is None or before.cpu_usec is None or passed <= 0:
        return None
    busy = (sample.cpu_usec - before.cpu_usec) / 1e6 > CPU_SHARE_IDLE * passed
    share = passed / 30
    moved = _grown(before.io_bytes, sample.io_bytes) > IO_BYTES_IDLE * share
    sent = _grown(before.network_bytes, sample.network_bytes) > NETWORK_BYTES_IDLE * share
    return not (busy or moved or sent)


def is_active(before: Sample, sample: Sample) -> bool:
    """Whether there was a sign of life. When nothing can be told, there was: ignorance stops
    nobody's work."""
    quiet = is_quiet(before, sample)
    if sample.in_use is None:
        return quiet is not True
    return sample.in_use or quiet is False


def _grown(before: int | None, after: int | None) -> int:
    return 0 if before is None or after is None else after - before


def _round(span: timedelta) -> str:
    """For people: `7d`, `4h`, `90s`; what is smaller than the two largest units is left out."""
    seconds = max(1, round(span.total_seconds()))
    for unit in (86400, 3600, 60):
        if seconds >= 24 * unit:
            seconds -= seconds % unit
            break
    return format_duration(seconds)


def _in_words(seconds: int) -> str:
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds % size == 0 and seconds >= size:
            count = seconds // size
            return f"{count} {word}{'s' if count > 1 else ''}"
    raise AssertionError(f"{seconds} seconds are less than one")
