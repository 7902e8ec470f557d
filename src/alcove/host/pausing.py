"""`pause` and `resume`: a workspace stands still, with its memory, for as long as the host is up.

The record says whether it is to stand still, and at the start of this process that is made true:
a verb that was cut off is finished, or undone, by the next start. One rule: what is paused has no
socket where the server looks for one, so that nobody waits for an answer that cannot come.
"""

import logging
from typing import Final

from alcove.host.parts import Parts
from alcove.host.sleeping import fall_asleep, settle_sleep
from alcove.host.state import Record, Stage, alive
from alcove.model.errors import AlcoveError, DriverError
from alcove.model.workspace import WorkspaceId

log: Final = logging.getLogger(__name__)
FREEZE_TIMEOUT_S: Final = 10.0


def pause(parts: Parts, workspace: WorkspaceId) -> None:
    """Raises DriverError when it does not run or cannot be stopped; it runs on then."""
    with parts.turns.of(workspace):
        record = parts.records.get(workspace)
        if record is None or alive(record) is None:
            if record is not None and record.stage is Stage.ASLEEP:
                return
            raise DriverError(f"{workspace} does not run; start it first", retry=True)
        if parts.ground.runtime(record.isolation).checkpoints:
            fall_asleep(parts, workspace, record)
            return
        with parts.crash.step("pause", "note"):
            parts.records.note(workspace, stage=Stage.PAUSED)
        try:
            with parts.crash.step("pause", "hide"):
                parts.ground.sockets.hide(workspace)
            with parts.crash.step("pause", "freeze"):
                parts.ground.cgroups.freeze(workspace, timeout_s=FREEZE_TIMEOUT_S)
        except (DriverError, OSError):
            parts.records.note(workspace, stage=Stage.RUNNING)
            parts.ground.sockets.show(workspace)
            raise


def resume(parts: Parts, workspace: WorkspaceId) -> None:
    """Nothing happens to what is not paused. Raises DriverError when there is nothing."""
    with parts.turns.of(workspace):
        record = parts.records.get(workspace)
        if record is None or alive(record) is None:
            raise DriverError(f"{workspace} does not run; start it first", retry=True)
        with parts.crash.step("resume", "note"):
            if record.stage is Stage.PAUSED:
                parts.records.note(workspace, stage=Stage.RUNNING)
        with parts.crash.step("resume", "thaw"):
            parts.ground.cgroups.thaw(workspace)
        with parts.crash.step("resume", "show"):
            parts.ground.sockets.show(workspace)


def settle(parts: Parts) -> None:
    """At start: what the records say is made true, also of what a verb left in between."""
    interrupted = parts.shelf.interrupted()
    for workspace in sorted(parts.records.ids()):
        with parts.turns.of(workspace):
            parts.ground.thaw_volume(workspace)
            record = parts.records.get(workspace)
            if record is None:
                continue
            try:
                if settle_sleep(parts, workspace, record):
                    continue
            except (AlcoveError, OSError):
                log.exception("could not settle the sleep of %s", workspace)
            if alive(record) is None:
                continue
            try:
                if workspace in interrupted:
                    _let_go(parts, workspace, record)
                _settle_one(parts, workspace, paused=record.stage is Stage.PAUSED)
            except (AlcoveError, OSError):
                log.exception("could not settle whether %s stands still", workspace)


def _let_go(parts: Parts, workspace: WorkspaceId, record: Record) -> None:
    """What a checkpoint left standing still goes on; whether it did, only the runtime knows."""
    runtime = parts.ground.runtime(record.isolation)
    if not runtime.checkpoints:
        return
    parts.ground.cgroups.thaw(workspace)
    try:
        runtime.resume(workspace)
    except DriverError as error:
        log.info("%s was not standing still: %s", workspace, error)


def _settle_one(parts: Parts, workspace: WorkspaceId, *, paused: bool) -> None:
    if not paused:
        parts.ground.cgroups.thaw(workspace)
        parts.ground.sockets.show(workspace)
        return
    try:
        parts.ground.sockets.hide(workspace)
        parts.ground.cgroups.freeze(workspace, timeout_s=FREEZE_TIMEOUT_S)
    except DriverError:
        parts.records.note(workspace, stage=Stage.RUNNING)
        parts.ground.sockets.show(workspace)
        raise
