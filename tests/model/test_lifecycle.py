"""The table is total, and a well-behaved runtime always reaches what was asked for."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcove.model.image import DebianImage
from alcove.model.lifecycle import (
    BACKOFF_MAX,
    DECISIONS,
    FAILURES_MAX,
    RECHECK_BUSY,
    RECHECK_IDLE,
    RECHECK_MEMBER,
    STABLE_AFTER,
    Effect,
    backoff,
    failures_after_end,
    forgiven,
    is_being_claimed,
    shown_phase,
    step,
)
from alcove.model.workspace import (
    Desired,
    Isolation,
    Kind,
    Lifetime,
    NetworkMode,
    Observation,
    Observed,
    Phase,
    Resources,
    RootMode,
    Spec,
    StartedFrom,
    UserId,
    Workspace,
    WorkspaceId,
)

T0 = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = Spec(
    image=DebianImage("bookworm", (), "dev", sudo=True),
    isolation=Isolation.CONTAINER,
    root=RootMode.CONTAINED,
    user="dev",
    hostname="w1",
    resources=Resources(1000, 1024, 1024, 100),
    network=NetworkMode.OPEN,
    ephemeral=False,
)
WORKSPACE = Workspace(
    id=WorkspaceId("w1"),
    name="w1",
    owner=UserId("u1"),
    kind=Kind.HUMAN,
    template="t",
    template_version=1,
    spec=SPEC,
    parameters={},
    labels={},
    repo=None,
    branch=None,
    lifetime=Lifetime(None, None, None, None),
    desired=Desired.RUNNING,
    phase=Phase.STOPPED,
    reason="",
    health="ok",
    handle=None,
    boot=None,
    retire_boot=None,
    generation=1,
    failures=0,
    created_at=T0,
    started_at=None,
    last_used_at=T0,
    expires_at=None,
    stop_at=None,
    announced_at=None,
    check_at=T0,
)
RUNTIME = {
    Effect.CREATE: Observed.READY,
    Effect.START: Observed.READY,
    Effect.CLAIM: Observed.READY,
    Effect.PAUSE: Observed.PAUSED,
    Effect.RESUME: Observed.READY,
    Effect.STOP: Observed.EXITED,
    Effect.DESTROY: Observed.ABSENT,
}
MEMBER = replace(WORKSPACE, pool="t@1/container", started=StartedFrom.POOL)
CLAIMED = replace(MEMBER, pool=None, boot="b1")
WANTED = {
    Desired.RUNNING: Phase.RUNNING,
    Desired.PAUSED: Phase.PAUSED,
    Desired.STOPPED: Phase.STOPPED,
    Desired.DELETED: Phase.DELETED,
}
TOWARDS = {
    Desired.RUNNING: {Effect.CREATE, Effect.START, Effect.RESUME, None},
    Desired.PAUSED: {Effect.CREATE, Effect.START, Effect.PAUSE, None},
    Desired.STOPPED: {Effect.STOP, None},
    Desired.DELETED: {Effect.DESTROY, None},
}


def _seen(state: Observed, boot: str | None = None, detail: str = "") -> Observation:
    return Observation(state, None, boot, detail)


def test_every_situation_has_a_decision() -> None:
    assert set(DECISIONS) == set(product(Desired, Observed))


def test_no_effect_leads_away_from_what_is_wanted() -> None:
    for (desired, _), (_, effect) in DECISIONS.items():
        assert effect in TOWARDS[desired]


@given(
    desired=st.sampled_from(Desired),
    phase=st.sampled_from(Phase),
    boot=st.sampled_from([None, "b1"]),
    retire=st.sampled_from([None, "b1"]),
    failures=st.integers(0, 9),
)
def test_never_acts_on_ignorance(
    desired: Desired, phase: Phase, boot: str | None, retire: str | None, failures: int
) -> None:
    workspace = replace(
        WORKSPACE, desired=desired, phase=phase, boot=boot, retire_boot=retire, failures=failures
    )
    todo = step(workspace, _seen(Observed.UNKNOWN))
    assert (todo.effect, todo.ended, todo.phase) == (None, None, Phase.UNREACHABLE)


@given(
    desired=st.sampled_from(Desired),
    seen=st.sampled_from([o for o in Observed if o != Observed.UNKNOWN]),
)
def test_converges_in_a_few_steps(desired: Desired, seen: Observed) -> None:
    workspace = replace(WORKSPACE, desired=desired)
    for _ in range(4):
        todo = step(workspace, _seen(seen, boot="b1"))
        if todo.effect is Effect.CLAIM:
            workspace = replace(workspace, boot="b1")
        if todo.effect is not None:
            seen = RUNTIME[todo.effect]
        elif seen is Observed.CREATING:
            seen = Observed.READY
    assert step(workspace, _seen(seen, boot="b1")).phase is WANTED[desired]


@given(
    desired=st.sampled_from(Desired),
    seen=st.sampled_from(Observed),
    failures=st.integers(FAILURES_MAX, 99),
)
def test_does_nothing_more_after_the_failure_budget(
    desired: Desired, seen: Observed, failures: int
) -> None:
    workspace = replace(WORKSPACE, desired=desired, failures=failures)
    assert step(workspace, _seen(seen, boot="b1")).effect is None


def test_deleting_does_not_hang_on_what_cannot_be_removed() -> None:
    workspace = replace(WORKSPACE, desired=Desired.DELETED, failures=FAILURES_MAX)
    assert step(workspace, _seen(Observed.EXITED)).phase is Phase.DELETED


def test_a_new_boot_is_claimed() -> None:
    todo = step(WORKSPACE, _seen(Observed.READY, boot="b1"))
    assert (todo.phase, todo.effect) == (Phase.PROVISIONING, Effect.CLAIM)
    again = replace(WORKSPACE, started_at=T0, boot="b0")
    todo = step(again, _seen(Observed.READY, boot="b1"))
    assert (todo.phase, todo.effect) == (Phase.STARTING, Effect.CLAIM)


def test_only_the_boot_that_was_to_be_restarted_is_ended() -> None:
    workspace = replace(WORKSPACE, boot="b1", retire_boot="b1", phase=Phase.RUNNING)
    assert step(workspace, _seen(Observed.READY, boot="b1")).effect is Effect.STOP
    assert step(workspace, _seen(Observed.READY, boot="b2")).effect is Effect.CLAIM
    assert step(workspace, _seen(Observed.EXITED)).effect is Effect.START


@pytest.mark.parametrize("state", [Observed.EXITED, Observed.ABSENT])
def test_a_boot_that_ended_by_itself_costs_a_failure_and_waits(state: Observed) -> None:
    workspace = replace(WORKSPACE, boot="b1", phase=Phase.RUNNING)
    todo = step(workspace, _seen(state, detail="out of memory"))
    assert todo.effect is None
    assert todo.ended is not None
    assert "out of memory" in todo.ended
    assert todo.recheck == backoff(1)


def test_an_ephemeral_one_that_ended_by_itself_is_over() -> None:
    workspace = replace(
        WORKSPACE, boot="b1", phase=Phase.RUNNING, spec=replace(SPEC, ephemeral=True)
    )
    assert step(workspace, _seen(Observed.EXITED)).phase is Phase.FAILED
    assert failures_after_end(workspace) == FAILURES_MAX


def test_one_whose_host_was_stopped_is_started_at_once_and_nobody_failed() -> None:
    workspace = replace(WORKSPACE, boot="b1", phase=Phase.RUNNING, failures=FAILURES_MAX - 1)
    todo = step(workspace, replace(_seen(Observed.EXITED), orderly=True))
    assert (todo.effect, todo.ended) == (Effect.START, None)


def test_an_ephemeral_one_whose_host_was_stopped_is_over() -> None:
    spec = replace(SPEC, ephemeral=True)
    workspace = replace(WORKSPACE, boot="b1", phase=Phase.RUNNING, spec=spec)
    todo = step(workspace, replace(_seen(Observed.EXITED), orderly=True))
    assert todo.phase is Phase.FAILED
    assert todo.ended is not None
    assert "host was stopped" in todo.ended


@pytest.mark.parametrize("phase", [Phase.STOPPING, Phase.STOPPED])
def test_what_we_ended_is_no_failure(phase: Phase) -> None:
    workspace = replace(WORKSPACE, boot="b1", phase=phase)
    todo = step(workspace, _seen(Observed.EXITED))
    assert (todo.effect, todo.ended) == (Effect.START, None)


def test_the_wait_grows_and_is_bounded() -> None:
    waits = [backoff(failures) for failures in range(1, 40)]
    assert waits == sorted(waits)
    assert waits[0] < RECHECK_IDLE
    assert waits[-1] == BACKOFF_MAX


def test_failures_are_forgiven_when_it_ran_for_long() -> None:
    workspace = replace(WORKSPACE, failures=3, started_at=T0)
    assert forgiven(workspace, now=T0 + STABLE_AFTER - timedelta(seconds=1)) == 3
    assert forgiven(workspace, now=T0 + STABLE_AFTER) == 0
    assert forgiven(replace(workspace, started_at=None), now=T0 + STABLE_AFTER) == 3


@pytest.mark.parametrize("boot", [None, "b0", "b1"])
def test_the_agent_of_a_pools_member_is_told_nothing(boot: str | None) -> None:
    todo = step(replace(MEMBER, boot=boot), _seen(Observed.READY, boot="b1"))
    assert (todo.phase, todo.effect, todo.recheck) == (Phase.RUNNING, None, RECHECK_MEMBER)


def test_a_pools_member_that_is_to_go_goes_although_it_runs() -> None:
    todo = step(replace(MEMBER, desired=Desired.DELETED), _seen(Observed.READY, boot="b1"))
    assert todo.effect is Effect.DESTROY


def test_what_was_claimed_from_a_pool_is_told_whose_it_is_in_the_boot_it_has() -> None:
    todo = step(replace(CLAIMED, phase=Phase.PROVISIONING), _seen(Observed.READY, boot="b1"))
    assert (todo.phase, todo.effect) == (Phase.PROVISIONING, Effect.CLAIM)


def test_what_was_shown_to_its_owner_already_is_not_shown_as_starting_again() -> None:
    todo = step(replace(CLAIMED, phase=Phase.RUNNING), _seen(Observed.READY, boot="b1"))
    assert (todo.phase, todo.effect) == (Phase.RUNNING, Effect.CLAIM)


@pytest.mark.parametrize("desired", [Desired.RUNNING, Desired.PAUSED])
def test_what_ended_before_its_owner_had_it_is_thrown_away_at_no_cost(desired: Desired) -> None:
    todo = step(replace(CLAIMED, desired=desired), _seen(Observed.EXITED))
    assert (todo.phase, todo.effect, todo.ended) == (Phase.PROVISIONING, Effect.DISCARD, None)


def test_what_its_owner_has_had_is_kept_when_it_ends() -> None:
    had = replace(CLAIMED, started_at=T0, retire_boot="b1")
    assert step(had, _seen(Observed.EXITED)).effect is Effect.START


@pytest.mark.parametrize(
    ("seen", "effect"), [(Observed.ABSENT, Effect.CREATE), (Observed.EXITED, Effect.START)]
)
def test_a_pools_member_that_does_not_run_is_made_to(seen: Observed, effect: Effect) -> None:
    assert step(MEMBER, _seen(seen)).effect is effect


@pytest.mark.parametrize(
    ("desired", "phase"),
    [
        (Desired.RUNNING, Phase.STARTING),
        (Desired.PAUSED, Phase.STARTING),
        (Desired.STOPPED, Phase.STOPPING),
        (Desired.DELETED, Phase.DELETING),
    ],
)
def test_one_that_failed_and_is_asked_for_something_is_on_its_way(
    desired: Desired, phase: Phase
) -> None:
    asked = replace(WORKSPACE, phase=Phase.FAILED, failures=0, desired=desired)
    assert shown_phase(asked) is phase


def test_one_that_failed_for_good_is_shown_so() -> None:
    given_up = replace(WORKSPACE, phase=Phase.FAILED, failures=FAILURES_MAX)
    assert shown_phase(given_up) is Phase.FAILED


def test_nobody_is_claiming_what_is_a_pools_still() -> None:
    assert is_being_claimed(CLAIMED)
    assert not is_being_claimed(MEMBER)


@pytest.mark.parametrize(
    ("desired", "effect"), [(Desired.STOPPED, None), (Desired.DELETED, Effect.DESTROY)]
)
def test_what_ended_before_its_owner_had_it_and_is_to_end_is_not_begun_again(
    desired: Desired, effect: Effect | None
) -> None:
    assert step(replace(CLAIMED, desired=desired), _seen(Observed.EXITED)).effect is effect


def test_a_boot_that_was_told_is_not_told_again() -> None:
    running = replace(WORKSPACE, boot="b1", started_at=T0, phase=Phase.RUNNING)
    todo = step(running, _seen(Observed.READY, boot="b1"))
    assert (todo.phase, todo.effect) == (Phase.RUNNING, None)


def test_one_that_came_back_by_itself_is_shown_as_starting() -> None:
    running = replace(WORKSPACE, boot="b1", started_at=T0, phase=Phase.RUNNING)
    todo = step(running, _seen(Observed.READY, boot="b2"))
    assert (todo.phase, todo.effect) == (Phase.STARTING, Effect.CLAIM)


def test_a_boot_that_is_not_known_is_not_the_one_to_be_ended() -> None:
    assert step(WORKSPACE, _seen(Observed.READY, boot=None)).effect is None


@pytest.mark.parametrize(
    ("desired", "boot"),
    [(Desired.STOPPED, "b1"), (Desired.DELETED, "b1"), (Desired.RUNNING, None)],
)
def test_an_end_that_nobody_minds_is_no_failure(desired: Desired, boot: str | None) -> None:
    workspace = replace(
        WORKSPACE, desired=desired, boot=boot, retire_boot="b0", phase=Phase.RUNNING
    )
    assert step(workspace, _seen(Observed.EXITED)).ended is None


def test_what_is_on_its_way_is_looked_at_more_often_than_what_has_arrived() -> None:
    assert step(WORKSPACE, _seen(Observed.ABSENT)).recheck == RECHECK_BUSY
    stopped = replace(WORKSPACE, desired=Desired.STOPPED)
    assert step(stopped, _seen(Observed.EXITED)).recheck == RECHECK_IDLE
