"""How many a pool keeps, and what is done about it: tables, a simulated day, and properties."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcove.model.image import DebianImage
from alcove.model.pool import (
    DEMAND_MEMORY,
    FAILED_FOR,
    MEMBER_MIB,
    NO_POOL,
    REMOVE_MAX,
    STARTING_MAX,
    Demand,
    Member,
    PoolMode,
    PoolSettings,
    Want,
    Window,
    faults,
    fixed_size,
    plan,
    pool_key,
    read_days,
    read_key,
    target,
    why_cold,
    write_days,
)
from alcove.model.workspace import (
    Isolation,
    NetworkMode,
    Phase,
    Resources,
    RootMode,
    SnapshotId,
    Spec,
    WorkspaceId,
)
from tests.model.test_lifecycle import SPEC

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)  # a Monday
NOBODY = Demand()


def members(many: int, phase: Phase = Phase.RUNNING, pool: str = "a") -> list[Member]:
    return [
        Member(WorkspaceId(f"{pool}-{phase}-{n}"), pool, phase, NOW - timedelta(seconds=n))
        for n in range(many)
    ]


def test_a_key_says_what_it_is_made_of() -> None:
    key = pool_key("a-b", 12, Isolation.GVISOR)
    assert read_key(key) == ("a-b", 12, Isolation.GVISOR)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (replace(SPEC, image=DebianImage("trixie", (), "dev", sudo=True)), "another image"),
        (
            replace(SPEC, isolation=Isolation.GVISOR),
            "another isolation than the pool's (container)",
        ),
        (replace(SPEC, root=RootMode.NONE), "another root than the pool's (contained)"),
        (replace(SPEC, user="ada"), "another user than the pool's (dev)"),
        (replace(SPEC, snapshot=SnapshotId("sn-1")), "it begins from a snapshot"),
        (
            replace(SPEC, resources=Resources(1000, 1024, 2048, 100)),
            "another disk size than the pool's (1024 MiB)",
        ),
    ],
)
def test_what_a_claim_cannot_change_makes_it_start_cold(wanted: Spec, why: str) -> None:
    assert (why_cold(SPEC, wanted) or "").startswith(why)


@pytest.mark.parametrize(
    "wanted",
    [
        SPEC,
        replace(SPEC, env={"A": "1"}, hostname="w2"),
        replace(SPEC, resources=Resources(4000, 8192, 1024, 900)),
        replace(SPEC, network=NetworkMode.NONE),
    ],
)
def test_what_a_claim_can_change_does_not(wanted: Spec) -> None:
    assert why_cold(SPEC, wanted) is None


@pytest.mark.parametrize(
    ("isolation", "has", "wants", "cold"),
    [
        (Isolation.CONTAINER, NetworkMode.OPEN, NetworkMode.NONE, False),
        (Isolation.CONTAINER, NetworkMode.ALLOWLIST, NetworkMode.ALLOWLIST, False),
        (Isolation.CONTAINER, NetworkMode.ALLOWLIST, NetworkMode.OPEN, True),
        (Isolation.CONTAINER, NetworkMode.NONE, NetworkMode.ALLOWLIST, True),
        (Isolation.GVISOR, NetworkMode.OPEN, NetworkMode.OPEN, False),
        (Isolation.GVISOR, NetworkMode.OPEN, NetworkMode.NONE, True),
    ],
)
def test_a_network_is_changed_only_where_that_can_be_done(
    isolation: Isolation, has: NetworkMode, wants: NetworkMode, cold: bool
) -> None:
    member = replace(SPEC, isolation=isolation, network=has)
    why = why_cold(member, replace(member, network=wants))
    assert (why is not None) is cold
    assert why is None or f"another network mode than the pool's ({has})" in why


def test_a_pool_of_no_size_is_off() -> None:
    assert fixed_size(1).on
    assert not NO_POOL.on


def test_a_fixed_pool_keeps_its_size_whatever_is_asked() -> None:
    busy = Demand(tuple(NOW for _ in range(50)))
    assert target(fixed_size(7), busy, now=NOW) == 7


@pytest.mark.parametrize(
    ("local", "size"),
    [
        ("2026-01-05T07:59", 1),
        ("2026-01-05T08:00", 9),
        ("2026-01-05T17:59", 9),
        ("2026-01-05T18:00", 1),
        ("2026-01-03T12:00", 1),  # Saturday
        ("2026-01-03T23:30", 4),
        ("2026-01-04T01:59", 4),
        ("2026-01-04T02:00", 1),
    ],
)
def test_a_window_of_the_week_has_a_size_of_its_own(local: str, size: int) -> None:
    work = Window(read_days("mon-fri"), "08:00", "18:00", 9)
    night = Window(("sat",), "23:00", "02:00", 4)
    settings = PoolSettings(min=1, max=20, schedule=(work, night))
    now = datetime.fromisoformat(local).replace(tzinfo=UTC)
    assert target(settings, NOBODY, now=now) == size


def test_a_window_is_in_the_zone_of_the_settings() -> None:
    work = Window(read_days("daily"), "08:00", "09:00", 5)
    settings = PoolSettings(max=5, schedule=(work,), zone="Asia/Tokyo")
    assert target(settings, NOBODY, now=datetime(2026, 1, 4, 23, 30, tzinfo=UTC)) == 5
    assert target(settings, NOBODY, now=datetime(2026, 1, 5, 8, 30, tzinfo=UTC)) == 0


def test_the_busiest_ten_seconds_decide() -> None:
    spread = [NOW - timedelta(seconds=30 * n) for n in range(10)]
    burst = [NOW - timedelta(minutes=5, seconds=n) for n in range(4)]
    demand = NOBODY.add([*spread, *burst], now=NOW)
    assert demand.busiest(now=NOW) == 4
    adaptive = PoolSettings(min=2, max=100, mode=PoolMode.ADAPTIVE)
    assert target(adaptive, demand, now=NOW) == 6
    assert target(replace(adaptive, max=5), demand, now=NOW) == 5
    assert target(adaptive, demand, now=NOW + DEMAND_MEMORY) == 2


def test_an_adaptive_pool_serves_every_burst_but_the_first_of_its_kind() -> None:
    """A simulated hour: bursts of 40 every ten minutes, refilled at 10 a second, then silence."""
    settings = PoolSettings(min=5, max=100, mode=PoolMode.ADAPTIVE, refill_per_s=10)
    ready, demand, missed, sizes = 5, NOBODY, list[int](), list[int]()
    for second in range(2 * 3600):
        now = NOW + timedelta(seconds=second)
        if second < 3600 and second % 600 == 0:
            served = min(ready, 40)
            missed.append(40 - served)
            ready -= served
            demand = demand.add([now] * 40, now=now)
        size = target(settings, demand, now=now)
        ready = min(ready + 10, size) if ready < size else size
        sizes.append(size)
    assert missed == [35, 0, 0, 0, 0, 0]
    assert max(sizes) == 60
    assert sizes[-1] == 5


def test_what_is_missing_is_begun_eight_at_a_time() -> None:
    done = plan([Want("a", 20, 100)], members(1), memory_mib=10_000, now=NOW)
    assert done.start == {"a": STARTING_MAX}


def test_a_pool_without_any_that_run_tries_one() -> None:
    first = plan([Want("a", 20, 100)], [], memory_mib=10_000, now=NOW)
    assert first.start == {"a": 1}
    waiting = members(1, Phase.PROVISIONING)
    assert plan([Want("a", 20, 100)], waiting, memory_mib=10_000, now=NOW).start == {}


def test_the_refill_rate_and_the_ceiling_hold() -> None:
    assert plan([Want("a", 20, 3)], members(1), memory_mib=10_000, now=NOW).start == {"a": 3}
    tight = plan([Want("a", 20, 100)], members(2), memory_mib=4 * MEMBER_MIB, now=NOW)
    assert tight.start == {"a": 2}
    assert "memory ceiling" in tight.why["a"]


def test_the_emptiest_pool_comes_first() -> None:
    there = [*members(9, pool="a"), *members(1, pool="b")]
    done = plan([Want("a", 10, 9), Want("b", 20, 9)], there, memory_mib=10_000, now=NOW)
    assert done.start == {"b": STARTING_MAX}


def test_one_that_waits_for_an_image_takes_no_turn_of_others() -> None:
    old = replace(members(1, Phase.PROVISIONING, "b")[0], created_at=NOW - timedelta(minutes=1))
    there = [*members(1), *[replace(old, id=WorkspaceId(f"b{n}")) for n in range(8)]]
    wants = [Want("a", 20, 100), Want("b", 8, 100)]
    assert plan(wants, there, memory_mib=10_000, now=NOW).start == {"a": STARTING_MAX}


def test_what_belongs_to_no_pool_of_now_goes() -> None:
    there = [*members(2), *members(2, pool="old"), replace(members(1)[0], fits=False)]
    done = plan([Want("a", 2, 9)], there, memory_mib=10_000, now=NOW)
    assert set(done.remove) == {there[2].id, there[3].id, there[4].id}


def test_what_is_over_goes_those_first_that_do_not_run_yet() -> None:
    there = [*members(3), *members(2, Phase.PROVISIONING)]
    done = plan([Want("a", 2, 9)], there, memory_mib=10_000, now=NOW)
    assert set(done.remove) == {there[3].id, there[4].id, there[0].id}


def test_one_that_failed_is_shown_for_a_while_and_holds_the_others_up() -> None:
    failed = replace(members(1, Phase.FAILED)[0], reason="the disk is full")
    done = plan([Want("a", 5, 9)], [failed], memory_mib=10_000, now=NOW)
    assert (done.start, done.remove) == ({}, ())
    assert done.why == {"a": "the disk is full"}
    late = plan([Want("a", 5, 9)], [replace(failed, failed_for=FAILED_FOR)], memory_mib=10_000,
                now=NOW)  # fmt: skip
    assert late.remove == (failed.id,)
    beside = plan([Want("a", 5, 9)], [failed, *members(1)], memory_mib=10_000, now=NOW)
    assert beside.start == {"a": 1}


_PHASES = st.sampled_from([Phase.RUNNING, Phase.PROVISIONING, Phase.FAILED])


@given(
    st.lists(st.tuples(_PHASES, st.sampled_from(["a", "b", "old"])), max_size=60),
    st.integers(0, 30),
    st.integers(0, 30),
    st.integers(0, 2000),
)
def test_a_plan_never_goes_over_a_limit(
    there: list[tuple[Phase, str]], a: int, b: int, ceiling: int
) -> None:
    known = [
        Member(WorkspaceId(str(n)), pool, phase, NOW) for n, (phase, pool) in enumerate(there)
    ]
    done = plan([Want("a", a, 5), Want("b", b, 5)], known, memory_mib=ceiling, now=NOW)
    kept = [m for m in known if m.id not in done.remove]
    starting = sum(m.phase is Phase.PROVISIONING for m in kept if m.pool != "old")
    assert len(done.remove) <= REMOVE_MAX
    assert sum(done.start.values()) <= max(0, STARTING_MAX)
    assert sum(done.start.values()) == 0 or starting + sum(done.start.values()) <= STARTING_MAX
    for pool, size in (("a", a), ("b", b)):
        alive = sum(m.pool == pool and m.phase is not Phase.FAILED for m in kept)
        assert alive + done.start.get(pool, 0) <= max(size, alive)
    if done.start:
        counted = sum(m.phase is not Phase.FAILED and m.pool != "old" for m in kept)
        over = len([m for m in known if m.pool != "old"]) - counted
        assert (counted + sum(done.start.values()) - over) * MEMBER_MIB <= ceiling


def test_days_are_read_and_written() -> None:
    assert read_days("fri-mon") == ("mon", "fri", "sat", "sun")
    assert write_days(read_days("sat,sun")) == "sat,sun"
    assert write_days(read_days("mon-sun")) == "daily"
    for wrong in ("", "monday", "mon-", "mon-fry"):
        with pytest.raises(ValueError, match="is not days"):
            read_days(wrong)


def test_settings_that_contradict_themselves_name_the_field() -> None:
    window = Window(("mon",), "8", "25:00", 9)
    bad = PoolSettings(min=5, max=3, schedule=(window,), zone="Nowhere/Land")
    assert [name for name, _ in faults(bad)] == [
        "min", "schedule[0].min", "schedule[0].from", "schedule[0].to", "zone",
    ]  # fmt: skip
    assert faults(fixed_size(3)) == []


def test_a_schedule_that_fits_has_no_faults() -> None:
    window = Window(("mon",), "08:00", "23:59", 3)
    assert faults(PoolSettings(max=3, schedule=(window,), zone="Europe/Paris")) == []


def test_a_fault_says_what_is_wrong_and_what_would_be_right() -> None:
    said = "'Nowhere/Land' is not a time zone like UTC or Europe/Paris"
    assert faults(PoolSettings(zone="Nowhere/Land")) == [("zone", said)]
