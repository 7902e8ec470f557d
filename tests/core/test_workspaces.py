"""The verbs: who may, what is refused and how, and what is written."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
import pytest

from alcove.config import Settings
from alcove.core import workspaces
from alcove.core.pages import PageRequest
from alcove.model.access import Actor, Permission, Role
from alcove.model.errors import (
    Conflict,
    Denied,
    DriverError,
    Invalid,
    NotFound,
    QuotaExceeded,
    Unsupported,
)
from alcove.model.workspace import Desired, Phase, UserId, Workspace, WorkspaceId
from alcove.store.db import Database
from alcove.store.workspaces import WorkspaceFilters
from alcove.wire.workspaces import NewWorkspace, WorkspaceChange
from tests.conftest import MovedClock
from tests.core.world import ADA, BOB, PYTHON, ROOT, World, add_template, open_world

AUDITOR = Actor(id=UserId("u-eve"), name="eve", role=Role.AUDITOR)
ANY = WorkspaceFilters()


async def _change(world: World, ref: str, **change: object) -> None:
    await workspaces.update(world.core, ADA, ref, WorkspaceChange.model_validate(change))


async def _names(
    world: World, actor: Actor = ADA, filters: WorkspaceFilters = ANY, limit: int = 50
) -> list[str]:
    names: list[str] = []
    cursor = None
    while True:
        page = await workspaces.find(world.core, actor, filters, PageRequest(limit, cursor))
        names += [workspace.name for workspace in page.items]
        if (cursor := page.next_cursor) is None:
            return names


async def test_life_of_a_workspace(world: World) -> None:
    made = await world.create(name="api")
    await world.settle()
    assert (await world.row(made.id)).phase is Phase.RUNNING
    await workspaces.stop(world.core, ADA, "api")
    await world.settle()
    stopped = await world.row(made.id)
    assert (stopped.phase, stopped.reason) == (Phase.STOPPED, "stopped: ada asked for it")
    await workspaces.start(world.core, ADA, made.id)
    await world.settle()
    assert (await world.row(made.id)).phase is Phase.RUNNING
    await workspaces.delete(world.core, ADA, "ada/api")
    await world.settle()
    assert (await world.row(made.id)).phase is Phase.DELETED
    assert [verb for verb, _ in world.driver.calls] == ["create", "stop", "start", "destroy"]
    assert await world.phases(made.id) == [
        "running", "stopping", "stopped", "starting", "running", "deleting", "deleted",
    ]  # fmt: skip


async def test_a_name_is_made_up_when_there_is_none(world: World) -> None:
    first, second = await world.create(), await world.create()
    assert first.name != second.name
    assert first.name.count("-") == 2


async def test_a_name_is_the_owners_own(world: World) -> None:
    await world.create(name="api")
    await world.create(BOB, name="api")
    with pytest.raises(Conflict, match="already a workspace named api"):
        await world.create(name="api")


async def test_a_deleted_workspace_gives_its_name_up(world: World) -> None:
    await world.create(name="api")
    await workspaces.delete(world.core, ADA, "api")
    await world.settle()
    await world.create(name="api")


async def test_deleting_is_always_accepted_and_repeatable(world: World) -> None:
    made = await world.create(name="api")
    for _ in range(2):
        assert (await workspaces.delete(world.core, ADA, made.id)).desired is Desired.DELETED
    await world.settle()
    assert (await workspaces.delete(world.core, ADA, made.id)).phase is Phase.DELETED
    kinds = [event.kind for event in await world.events(made.id)]
    assert kinds.count("workspace.delete_requested") == 1


async def test_what_is_being_deleted_is_not_started(world: World) -> None:
    made = await world.create(name="api")
    await workspaces.delete(world.core, ADA, made.id)
    for verb in (workspaces.start, workspaces.stop, workspaces.restart):
        with pytest.raises(Conflict, match="being deleted"):
            await verb(world.core, ADA, made.id)


async def test_starting_what_runs_changes_nothing(world: World) -> None:
    made = await world.create(name="api")
    await world.settle()
    before = await world.events()
    assert (await workspaces.start(world.core, ADA, "api")).generation == made.generation
    assert await world.events() == before


async def test_what_is_anothers_is_not_there(world: World) -> None:
    made = await world.create(name="api")
    for ref in (made.id, "ada/api"):
        for verb in (workspaces.get, workspaces.start, workspaces.delete):
            with pytest.raises(NotFound):
                await verb(world.core, BOB, ref)
    assert await _names(world, BOB) == []


async def test_an_admin_reaches_all_and_an_auditor_only_reads(world: World) -> None:
    made = await world.create(name="api")
    assert (await workspaces.get(world.core, ROOT, "ada/api")).id == made.id
    assert (await workspaces.get(world.core, AUDITOR, made.id)).id == made.id
    with pytest.raises(Denied):
        await workspaces.delete(world.core, AUDITOR, made.id)
    assert await _names(world, AUDITOR) == ["api"]


async def test_a_token_of_one_workspace_sees_only_that(world: World) -> None:
    mine, other = await world.create(name="mine"), await world.create(name="other")
    bound = replace(ADA, workspace=mine.id)
    assert await _names(world, bound) == ["mine"]
    with pytest.raises(NotFound):
        await workspaces.get(world.core, bound, other.id)
    with pytest.raises(Denied):
        await world.create(bound)


async def test_a_token_without_the_scope_may_not(world: World) -> None:
    made = await world.create(name="api")
    reader = replace(ADA, scopes=frozenset({Permission.WORKSPACE_READ}))
    await workspaces.get(world.core, reader, "api")
    with pytest.raises(Denied):
        await workspaces.stop(world.core, reader, made.id)


async def test_only_admins_create_for_others(world: World) -> None:
    made = await world.create(ROOT, owner="ada")
    assert made.owner == ADA.id
    with pytest.raises(Denied):
        await world.create(BOB, owner="ada")
    with pytest.raises(NotFound):
        await world.create(ROOT, owner="nobody")


async def test_an_unknown_template_is_named(world: World) -> None:
    with pytest.raises(NotFound, match="no template 'perl'"):
        await world.create(template="perl")
    with pytest.raises(NotFound, match="has no version 4; latest is 1"):
        await world.create(template_version=4)


async def test_more_than_the_ceiling_is_refused_with_the_field(world: World) -> None:
    with pytest.raises(Invalid) as caught:
        await world.create(parameters={"cpu": 64})
    assert [error.field for error in caught.value.errors] == ["parameters.cpu"]


async def test_the_operators_ceiling_holds_over_the_templates(
    db: Database, clock: MovedClock
) -> None:
    async with open_world(db, clock, settings=Settings(ttl_max="1h")) as world:
        with pytest.raises(Invalid, match="ceiling"):
            await world.create(ttl="2h")


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"isolation": "gvisor"}, "no sandboxed kernel"),
        ({"network": {"mode": "allowlist"}}, "not enforced yet"),
    ],
)
async def test_what_the_driver_cannot_do_is_refused_with_its_reason(
    world: World, asked: dict[str, Any], reason: str
) -> None:
    with pytest.raises(Unsupported, match=reason):
        await world.create(**asked)
    assert await _names(world) == []


async def test_the_quota_counts_what_is_not_deleted(db: Database, clock: MovedClock) -> None:
    async with open_world(db, clock, settings=Settings(workspaces_max_per_user=2)) as world:
        first = await world.create()
        await world.create()
        with pytest.raises(QuotaExceeded, match="limit is 2"):
            await world.create()
        await world.create(BOB)
        await workspaces.delete(world.core, ADA, first.id)
        await world.settle()
        await world.create()


async def test_the_quota_holds_when_many_come_at_once(db: Database, clock: MovedClock) -> None:
    async with open_world(db, clock, settings=Settings(workspaces_max_per_user=5)) as world:
        refused: list[str] = []

        async def one() -> None:
            try:
                await world.create()
            except QuotaExceeded as error:
                refused.append(str(error))

        async with anyio.create_task_group() as group:
            for _ in range(12):
                group.start_soon(one)
        assert len(refused) == 7
        assert len(await _names(world)) == 5


@pytest.mark.parametrize(
    "body",
    [
        {"template": "agent", "ttl": "4h", "parameters": {"repo": "https://example.com/x/y.git"}},
        {
            "template_id": "agent",
            "name": "task-1",
            "rich_parameters": {"repo": "github.com/x/y", "branch": "main", "ttl_hours": "4"},
        },
    ],
)
async def test_what_orchestrators_send_just_works(world: World, body: dict[str, object]) -> None:
    request = NewWorkspace.model_validate(body)
    made = await workspaces.create(world.core, ADA, request)
    assert made.expires_at == made.created_at + timedelta(hours=4)
    assert made.repo is not None
    assert made.spec.clone is not None


async def test_pages_are_stable_while_others_are_added(world: World) -> None:
    for number in range(7):
        world.clock.move(seconds=number % 2)
        await world.create(name=f"w{number}")
    everything = await _names(world)
    first = await workspaces.find(world.core, ADA, ANY, PageRequest(3))
    await world.create(name="late")
    rest = await workspaces.find(world.core, ADA, ANY, PageRequest(50, first.next_cursor))
    assert [w.name for w in (*first.items, *rest.items)] == everything


@pytest.mark.parametrize("cursor", ["", "x", "e30", "W10", "WzEsMl0", "WyJ4IiwieSJd", "A" * 9999])
async def test_a_cursor_that_is_not_ours_is_refused(world: World, cursor: str) -> None:
    with pytest.raises(Invalid, match="cursor"):
        await workspaces.find(world.core, ADA, ANY, PageRequest(3, cursor))


async def test_a_page_costs_one_query_and_a_create_six(world: World) -> None:
    for _ in range(12):
        await world.create()
    await world.core.capabilities()
    counts: list[int] = []
    for limit in (1, 10):
        before = world.core.db.queries
        await workspaces.find(world.core, ADA, ANY, PageRequest(limit))
        counts.append(world.core.db.queries - before)
    assert counts == [1, 1]
    before = world.core.db.queries
    await world.create()
    # Owner, the count, the insert, the number, the event. Beginning is a statement on SQLite, and
    # on PostgreSQL locking the user's row is. The version is remembered.
    assert world.core.db.queries - before == 6


async def test_filters(world: World) -> None:
    await world.create(name="a", labels={"team": "core", "note": 'say "team":"web"'})
    await world.create(name="b", labels={"team": "web"})
    await world.create(BOB, name="c")
    await world.create(name="d", template="agent")
    await workspaces.stop(world.core, ADA, "b")
    await world.settle()

    async def found(actor: Actor = ADA, **filters: object) -> set[str]:
        return set(await _names(world, actor, WorkspaceFilters(**filters)))  # pyright: ignore[reportArgumentType]

    assert await found(labels={"team": "web"}) == {"b"}
    assert await found(labels={"team": "core"}) == {"a"}
    assert await found(template="agent") == {"d"}
    assert await found(phases=[Phase.STOPPED]) == {"b"}
    assert await found(ROOT, owner_name="bob") == {"c"}
    assert await found(ROOT) == {"a", "b", "c", "d"}
    assert await found(owner_name="bob") == set()


async def test_a_new_name_and_labels_need_no_restart(world: World) -> None:
    made = await world.create(name="api")
    await world.settle()
    await _change(world, "api", name="web", labels={"team": "core"})
    await world.settle()
    row = await world.row(made.id)
    assert (row.name, row.labels, row.reason) == ("web", {"team": "core"}, "")
    assert row.boot == "boot-1"


async def test_a_larger_disk_waits_for_a_restart_and_says_so(world: World) -> None:
    made = await world.create(name="api")
    await world.settle()
    await _change(world, "api", resources={"disk": "20Gi"})
    await world.settle()
    assert (await world.row(made.id)).reason == "update pending: restart to apply"
    assert world.driver.runtimes[made.id].spec.resources.disk_mib == 10240
    await workspaces.restart(world.core, ADA, "api")
    await world.settle()
    assert (await world.row(made.id)).reason == ""
    assert world.driver.runtimes[made.id].spec.resources.disk_mib == 20480


async def test_a_parameter_that_is_a_limit_holds_at_once(world: World) -> None:
    made = await world.create(name="api")
    await world.settle()
    await _change(world, "api", parameters={"cpu": 4})
    assert (await world.row(made.id)).reason == ""
    assert world.driver.runtimes[made.id].spec.resources.cpu_millis == 4000


async def test_a_parameter_that_is_fixed_is_not_changed(world: World) -> None:
    await world.create(name="api")
    with pytest.raises(Invalid, match=r"parameters\.flavor: cannot change"):
        await _change(world, "api", parameters={"flavor": "rich"})


async def test_a_new_version_keeps_what_was_asked_for(world: World) -> None:
    made = await world.create(name="api", env={"K": "v"}, parameters={"cpu": 4}, ttl="5h")
    async with world.core.db.transaction() as tx:
        await add_template(tx, PYTHON + b"env: {NEW: yes-it-is}\n")
    await _change(world, "api", template_version=2)
    row = await world.row(made.id)
    assert row.template_version == 2
    assert row.spec.env["NEW"] == "yes-it-is"
    assert row.spec.env["K"] == "v"
    assert row.spec.resources.cpu_millis == 4000
    assert row.expires_at == made.expires_at


async def test_a_longer_life_counts_from_now_and_keeps_the_ceiling(world: World) -> None:
    made = await world.create(name="api", ttl="1h")
    world.clock.move(minutes=30)
    await _change(world, "api", ttl="2h")
    assert (await world.row(made.id)).expires_at == world.clock() + timedelta(hours=2)
    with pytest.raises(Invalid, match="ceiling"):
        await _change(world, "api", ttl="90d")


async def test_a_change_that_changes_nothing_writes_nothing(world: World) -> None:
    await world.create(name="api")
    before = len(await world.events())
    await _change(world, "api", name="api")
    assert len(await world.events()) == before


async def test_waiting_ends_when_it_has_failed(world: World) -> None:
    world.driver.fail_next, world.driver.failure = 1, DriverError("no image", retry=False)
    made = await world.create()
    await world.run()
    done = await workspaces.wait(world.core, ADA, made.id, timeout_s=60)
    assert (done.phase, done.reason) == (Phase.FAILED, "create failed: no image")


@pytest.mark.parametrize(
    ("verb", "phase"), [(workspaces.delete, Phase.DELETED), (workspaces.start, Phase.RUNNING)]
)
async def test_what_had_failed_is_waited_for_when_something_else_is_asked(
    world: World, verb: Callable[..., Awaitable[Workspace]], phase: Phase
) -> None:
    world.driver.fail_next, world.driver.failure = 1, DriverError("no image", retry=False)
    made = await world.create()
    await world.settle()
    await verb(world.core, ADA, made.id)
    async with anyio.create_task_group() as tasks:

        async def wait() -> None:
            done = await workspaces.wait(world.core, ADA, made.id, timeout_s=60)
            assert done.phase is phase

        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        await world.settle()


@pytest.mark.parametrize("ref", ["nope", "ws-", "ws-" + "a" * 16, "a/b/c", "", "\0", "x" * 5000])
async def test_a_reference_to_nothing_is_not_found(world: World, ref: str) -> None:
    with pytest.raises(NotFound):
        await workspaces.get(world.core, ADA, ref)


async def test_the_creation_is_told_without_secrets(world: World) -> None:
    made = await world.create(name="api", env={"TOKEN": "hunter2"})
    await _change(world, "api", parameters={"cpu": 4})
    told = str([event.detail for event in await world.events(made.id)])
    assert "hunter2" not in told
    assert WorkspaceId(made.id) in {event.subject for event in await world.events()}
