"""When a workspace ends by itself, decided from the row and the time alone."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcove.model.timers import (
    NOTICE,
    Activity,
    Decision,
    Sample,
    Verdict,
    advance,
    decide,
    is_active,
    is_quiet,
)
from alcove.model.workspace import Desired, Lifetime, OnExpiry, OnIdle, Phase
from tests.model.test_lifecycle import SPEC, T0, WORKSPACE

RUNNING = replace(WORKSPACE, phase=Phase.RUNNING, boot="b1", started_at=T0)
STOPPED = replace(WORKSPACE, phase=Phase.STOPPED, desired=Desired.STOPPED)
DAY = timedelta(days=1)
WEEK = replace(STOPPED, lifetime=Lifetime(None, None, None, 7 * 86400))


def test_nothing_is_due_without_a_limit() -> None:
    assert decide(RUNNING, idle_since=T0, now=T0 + 9999 * DAY) is None
    assert decide(STOPPED, idle_since=None, now=T0 + 9999 * DAY) is None


@pytest.mark.parametrize("desired", [d for d in Desired if d is not Desired.DELETED])
def test_the_time_to_live_ends_whatever_it_does(desired: Desired) -> None:
    workspace = replace(RUNNING, desired=desired, expires_at=T0 + DAY)
    assert decide(workspace, idle_since=None, now=T0 + DAY - timedelta(seconds=1)) is None
    verdict = decide(workspace, idle_since=None, now=T0 + DAY)
    assert verdict == Verdict(Decision.DELETE, "deleted: lived its 1d")


@pytest.mark.parametrize(
    ("phase", "desired", "decision"),
    [
        (Phase.RUNNING, Desired.RUNNING, Decision.PAUSE),
        (Phase.PAUSED, Desired.PAUSED, Decision.KEEP),
        (Phase.STOPPED, Desired.STOPPED, Decision.KEEP),
        (Phase.FAILED, Desired.RUNNING, Decision.KEEP),
        (Phase.STARTING, Desired.RUNNING, None),
        (Phase.PAUSING, Desired.PAUSED, None),
        (Phase.RUNNING, Desired.STOPPED, None),
    ],
)
def test_the_time_to_live_may_end_in_a_pause(
    phase: Phase, desired: Desired, decision: Decision | None
) -> None:
    lifetime = Lifetime(86400, None, None, None, on_expiry=OnExpiry.PAUSE)
    workspace = replace(
        RUNNING, phase=phase, desired=desired, expires_at=T0 + DAY, lifetime=lifetime
    )
    verdict = decide(workspace, idle_since=None, now=T0 + DAY)
    assert (verdict and verdict.decision) == decision


def test_idleness_may_end_in_a_pause() -> None:
    lifetime = Lifetime(None, 600, None, None, on_idle=OnIdle.PAUSE)
    idle = replace(RUNNING, lifetime=lifetime)
    verdict = decide(idle, idle_since=T0, now=T0 + timedelta(minutes=10))
    assert verdict == Verdict(Decision.PAUSE, "paused: idle for 10 minutes")
    assert decide(replace(idle, desired=Desired.PAUSED), idle_since=T0, now=T0 + DAY) is None


def test_a_paused_one_is_deleted_when_nobody_uses_it() -> None:
    paused = replace(WEEK, phase=Phase.PAUSED, desired=Desired.PAUSED)
    told = decide(paused, idle_since=None, now=T0 + 5 * DAY)
    assert told is not None
    assert told.decision is Decision.ANNOUNCE
    announced = replace(paused, announced_at=T0 + 5 * DAY)
    gone = decide(announced, idle_since=None, now=T0 + 7 * DAY)
    assert gone == Verdict(Decision.DELETE, "deleted: not used for 7d")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "1s"),
        (90, "1m30s"),
        (86_399, "23h59m"),
        (10 * 86_400 + 3_661, "10d1h"),
        (2_592_061, "30d"),
    ],
)
def test_how_long_it_lived_is_said_roughly(seconds: int, said: str) -> None:
    short = replace(RUNNING, expires_at=T0 + timedelta(seconds=seconds))
    verdict = decide(short, idle_since=None, now=T0 + 99 * DAY)
    assert verdict == Verdict(Decision.DELETE, f"deleted: lived its {said}")


def test_what_is_on_its_way_out_is_left_alone() -> None:
    workspace = replace(RUNNING, desired=Desired.DELETED, expires_at=T0)
    assert decide(workspace, idle_since=None, now=T0 + DAY) is None
    gone = replace(STOPPED, phase=Phase.DELETED, expires_at=T0)
    assert decide(gone, idle_since=None, now=T0 + DAY) is None


def test_the_maximum_runtime_stops_it() -> None:
    workspace = replace(RUNNING, stop_at=T0 + DAY, lifetime=Lifetime(None, None, 86400, None))
    verdict = decide(workspace, idle_since=None, now=T0 + DAY)
    assert verdict == Verdict(Decision.STOP, "stopped: ran its 1d")
    asked = replace(workspace, lifetime=Lifetime(None, None, None, None))
    verdict = decide(asked, idle_since=None, now=T0 + DAY)
    assert verdict == Verdict(Decision.STOP, "stopped: ran until it was to stop")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1800, "30 minutes"), (60, "1 minute"), (7200, "2 hours"), (90, "90 seconds")],
)
def test_idleness_stops_it_and_says_for_how_long(seconds: int, words: str) -> None:
    workspace = replace(RUNNING, lifetime=Lifetime(None, seconds, None, None))
    end = T0 + timedelta(seconds=seconds)
    assert decide(workspace, idle_since=T0, now=end - timedelta(seconds=1)) is None
    verdict = decide(workspace, idle_since=T0, now=end)
    assert verdict == Verdict(Decision.STOP, f"stopped: idle for {words}")


def test_a_limit_of_no_time_is_a_bug() -> None:
    workspace = replace(RUNNING, lifetime=Lifetime(None, 0, None, None))
    with pytest.raises(AssertionError):
        decide(workspace, idle_since=T0, now=T0)


def test_unknown_idleness_stops_nothing() -> None:
    workspace = replace(RUNNING, lifetime=Lifetime(None, 60, None, None))
    assert decide(workspace, idle_since=None, now=T0 + DAY) is None


def test_a_paused_one_is_not_idle() -> None:
    workspace = replace(RUNNING, phase=Phase.PAUSED, lifetime=Lifetime(None, 60, None, None))
    assert decide(workspace, idle_since=T0, now=T0 + DAY) is None


def test_one_that_is_not_there_yet_is_not_stopped() -> None:
    workspace = replace(RUNNING, phase=Phase.STARTING, stop_at=T0)
    assert decide(workspace, idle_since=T0, now=T0 + DAY) is None


def test_an_ephemeral_one_keeps_nothing_once_it_has_stopped() -> None:
    spec = replace(SPEC, ephemeral=True)
    workspace = replace(STOPPED, spec=spec, reason="stopped: idle for 10 minutes")
    verdict = decide(workspace, idle_since=None, now=T0)
    said = "deleted: ephemeral, and stopped (idle for 10 minutes)"
    assert verdict == Verdict(Decision.DELETE, said)
    stopping = replace(workspace, phase=Phase.STOPPING)
    assert decide(stopping, idle_since=None, now=T0) is None


def test_disuse_is_announced_two_days_before() -> None:
    assert decide(WEEK, idle_since=None, now=T0 + 5 * DAY - timedelta(seconds=1)) is None
    verdict = decide(WEEK, idle_since=None, now=T0 + 5 * DAY)
    said = "will be deleted on 2026-01-08: not used for 5d"
    assert verdict == Verdict(Decision.ANNOUNCE, said)


def test_disuse_deletes_only_after_the_announcement_had_its_time() -> None:
    late = replace(WEEK, announced_at=T0 + 20 * DAY)
    assert decide(late, idle_since=None, now=T0 + 21 * DAY) is None
    verdict = decide(late, idle_since=None, now=T0 + 20 * DAY + NOTICE)
    assert verdict == Verdict(Decision.DELETE, "deleted: not used for 7d")


def test_a_failed_one_is_unused_too() -> None:
    failed = replace(WEEK, desired=Desired.RUNNING, phase=Phase.FAILED)
    verdict = decide(failed, idle_since=None, now=T0 + 6 * DAY)
    assert verdict is not None
    assert verdict.decision is Decision.ANNOUNCE


@given(
    days=st.integers(1, 400),
    announced=st.none() | st.integers(0, 400),
    now=st.integers(0, 800),
)
def test_nothing_unused_is_deleted_without_notice(
    days: int, announced: int | None, now: int
) -> None:
    told = None if announced is None else T0 + announced * DAY
    workspace = replace(
        STOPPED, lifetime=Lifetime(None, None, None, days * 86400), announced_at=told
    )
    verdict = decide(workspace, idle_since=None, now=T0 + now * DAY)
    if verdict is not None and verdict.decision is Decision.DELETE:
        assert told is not None
        assert T0 + now * DAY - told >= min(NOTICE, days * DAY / 2)
        assert now >= days


def _sample(seconds: int, **seen: int | bool | str | None) -> Sample:
    boot = str(seen.pop("boot", "b1"))
    return Sample(T0 + timedelta(seconds=seconds), boot, **seen)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("later", "active"),
    [
        ({"cpu_usec": 0, "in_use": False}, False),
        ({"cpu_usec": 500_000, "in_use": False}, False),
        ({"cpu_usec": 900_000, "in_use": False}, True),
        ({"cpu_usec": 0, "in_use": True}, True),
        ({"cpu_usec": 0, "io_bytes": 2 << 20, "in_use": False}, True),
        ({"cpu_usec": 0, "network_bytes": 1 << 20, "in_use": False}, True),
        ({"cpu_usec": 0, "io_bytes": 1000, "network_bytes": 1000, "in_use": False}, False),
        ({"cpu_usec": 0, "in_use": None}, False),
        ({"cpu_usec": None, "in_use": False}, False),
        ({"cpu_usec": None, "in_use": None}, True),
    ],
)
def test_signs_of_life(later: dict[str, int | bool | None], active: bool) -> None:
    before = _sample(0, cpu_usec=0, io_bytes=0, network_bytes=0)
    assert is_active(before, _sample(30, **later)) is active


def test_two_looks_at_one_moment_tell_nothing() -> None:
    assert is_quiet(_sample(0, cpu_usec=0), _sample(0, cpu_usec=9)) is None


def test_idleness_begins_with_the_first_look_and_with_each_boot() -> None:
    quiet = {"cpu_usec": 0, "in_use": False}
    first = advance(None, _sample(100, **quiet))
    assert first.idle_since == T0 + timedelta(seconds=100)
    second = advance(first, _sample(130, **quiet))
    assert second.idle_since == first.idle_since
    reborn = advance(second, _sample(160, boot="b2", **quiet))
    assert reborn == Activity(reborn.sample, T0 + timedelta(seconds=160))
    busy = advance(second, _sample(160, cpu_usec=0, in_use=True))
    assert busy.idle_since == T0 + timedelta(seconds=160)
