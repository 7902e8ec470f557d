"""When a workspace is where one wants it."""

import pytest

from alcove.sdk.errors import WorkspaceFailed
from alcove.sdk.waiting import Goal, arrived
from tests.sdk.answers import workspace


@pytest.mark.parametrize(
    ("goal", "phase", "desired", "there"),
    [
        (Goal.READY, "provisioning", "running", False),
        (Goal.READY, "running", "running", True),
        (Goal.READY, "unreachable", "running", False),
        (Goal.STOPPED, "stopping", "stopped", False),
        (Goal.STOPPED, "stopped", "stopped", True),
        (Goal.STOPPED, "deleted", "deleted", True),
        (Goal.DELETED, "deleting", "deleted", False),
        (Goal.DELETED, "deleted", "deleted", True),
        (Goal.DELETED, "failed", "deleted", False),
        (Goal.PAUSED, "paused", "paused", True),
    ],
)
def test_the_phase_decides(goal: Goal, phase: str, desired: str, there: bool) -> None:
    assert arrived(workspace(phase=phase, desired=desired), goal) is there


def test_ready_waits_for_clone_and_scripts() -> None:
    assert not arrived(workspace(phase="running", health="starting"), Goal.READY)
    assert arrived(workspace(phase="running", health="starting"), Goal.RUNNING)


def test_a_failed_script_ends_the_wait() -> None:
    assert arrived(workspace(phase="running", health="degraded: clone failed"), Goal.READY)


@pytest.mark.parametrize("goal", [Goal.STOPPED, Goal.DELETED])
def test_a_workspace_that_is_gone_is_stopped_and_deleted(goal: Goal) -> None:
    assert arrived(None, goal)


def test_a_workspace_that_is_gone_will_not_run() -> None:
    with pytest.raises(WorkspaceFailed, match="deleted meanwhile"):
        arrived(None, Goal.READY)


def test_a_failure_tells_its_reason() -> None:
    with pytest.raises(WorkspaceFailed, match="no space on the disk"):
        arrived(workspace(phase="failed", reason="no space on the disk"), Goal.READY)


def test_somebody_else_s_wish_ends_the_wait() -> None:
    with pytest.raises(WorkspaceFailed, match="somebody wants it stopped"):
        arrived(workspace(phase="stopping", desired="stopped"), Goal.READY)
