"""Who is connected now: the list, its bounds, and endings that reach the connection, also on
another server."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
import pytest

from alcove.core import live_news, live_sessions
from alcove.core.app import Core
from alcove.core.live_news import BELIEVED_S, Teller, messages
from alcove.core.live_sessions import ENDED_WITHIN_S, Wanted, held
from alcove.core.pages import PageRequest
from alcove.model.access import Actor, Permission, Role
from alcove.model.errors import Denied, NotFound, SessionEnded
from alcove.model.live_session import LiveKind, LiveSession
from alcove.model.workspace import UserId, Workspace, WorkspaceId
from alcove.store.db import Database
from alcove.store.notifications import PAYLOAD_MAX
from tests.conftest import T0, MovedClock
from tests.core.world import ADA, BOB, ROOT, SECRET, World, open_world

EVE = Actor(id=UserId("u-eve"), name="eve", role=Role.AUDITOR)
ALL = Wanted()


@pytest.fixture
async def world(file_url: str, clock: MovedClock) -> AsyncGenerator[World]:
    db = Database(file_url)
    try:
        async with open_world(db, clock) as found:
            yield found
    finally:
        await db.aclose()


@asynccontextmanager
async def connected(
    core: Core, actor: Actor, workspace: Workspace, kind: LiveKind = LiveKind.TERMINAL
) -> AsyncGenerator[list[str]]:
    """Somebody whose connection goes on until it is ended; what it was told is in the list."""
    told: list[str] = []

    async def stay(*, task_status: Any) -> None:
        try:
            with held(core, actor, workspace, kind):
                task_status.started()
                await anyio.sleep_forever()
        except SessionEnded as error:
            told.append(str(error))

    async with anyio.create_task_group() as tasks:
        await tasks.start(stay)
        yield told
        tasks.cancel_scope.cancel()


async def seen(core: Core, actor: Actor, wanted: Wanted = ALL, **page: Any) -> list[LiveSession]:
    return list((await live_sessions.find(core, actor, PageRequest(**page), wanted)).items)


async def test_a_connection_is_in_the_list_while_it_is_open(world: World) -> None:
    made = await world.create()
    async with connected(world.core, replace(ADA, address="192.0.2.7"), made):
        (one,) = await seen(world.core, ADA)
        assert (one.workspace, one.user, one.owner) == (made.id, ADA.id, ADA.id)
        assert (one.kind, one.address, one.began_at) == (LiveKind.TERMINAL, "192.0.2.7", T0)
    assert await seen(world.core, ADA) == []


async def test_one_who_is_neither_connected_nor_the_owner_sees_nothing(world: World) -> None:
    async with connected(world.core, ADA, await world.create()):
        assert await seen(world.core, BOB) == []


async def test_an_owner_sees_who_is_in_their_workspace(world: World) -> None:
    async with connected(world.core, ROOT, await world.create()):
        assert [one.user for one in await seen(world.core, ADA)] == [ROOT.id]


@pytest.mark.parametrize("actor", [ROOT, EVE])
async def test_who_sees_the_fleet_sees_all(world: World, actor: Actor) -> None:
    async with connected(world.core, ADA, await world.create()):
        assert len(await seen(world.core, actor)) == 1


async def test_a_token_of_another_workspace_sees_nothing(world: World) -> None:
    made, other = await world.create(name="one"), await world.create(name="other")
    async with connected(world.core, ADA, made):
        assert await seen(world.core, replace(ADA, workspace=other.id)) == []
        assert len(await seen(world.core, replace(ADA, workspace=made.id))) == 1


async def test_filters_leave_out_what_does_not_match(world: World) -> None:
    one, other = await world.create(name="one"), await world.create(name="other")
    async with (
        connected(world.core, ADA, one, LiveKind.TUNNEL),
        connected(world.core, ROOT, other),
    ):
        for wanted, found in (
            (Wanted(workspace="one"), [one.id]),
            (Wanted(user="root"), [other.id]),
            (Wanted(user="me"), [one.id]),
            (Wanted(kind=LiveKind.TUNNEL), [one.id]),
            (Wanted(user="nobody"), []),
        ):
            assert [it.workspace for it in await seen(world.core, ADA, wanted)] == found


async def test_a_filter_by_a_workspace_of_somebody_else_says_not_found(world: World) -> None:
    made = await world.create()
    with pytest.raises(NotFound):
        await seen(world.core, BOB, Wanted(workspace=made.id))


async def test_pages_are_newest_first_and_leave_none_out(world: World) -> None:
    made = await world.create()
    async with connected(world.core, ADA, made):
        world.clock.move(seconds=1)
        async with connected(world.core, ADA, made), connected(world.core, ADA, made):
            whole = await seen(world.core, ADA)
            assert [it.began_at for it in whole] == sorted(
                (it.began_at for it in whole), reverse=True
            )
            paged: list[LiveSession] = []
            cursor = None
            for _ in range(3):
                page = await live_sessions.find(world.core, ADA, PageRequest(1, cursor), ALL)
                paged += page.items
                cursor = page.next_cursor
            assert (paged, cursor) == (whole, None)


async def test_what_is_ended_is_over_and_its_user_is_told_by_whom(world: World) -> None:
    async with connected(world.core, ADA, await world.create()) as told:
        (one,) = await seen(world.core, ADA)
        await live_sessions.end(world.core, ROOT, one.id)
        assert told == ["root ended this session"]
        assert await seen(world.core, ADA) == []


async def test_an_ending_is_an_event_about_the_workspace(world: World) -> None:
    made = await world.create()
    async with connected(world.core, ADA, made):
        (one,) = await seen(world.core, ADA)
        await live_sessions.end(world.core, ROOT, one.id)
    told = (await world.events(made.id))[-1]
    assert (told.kind, told.actor, told.owner) == ("session.ended", ROOT.id, ADA.id)
    assert told.detail["session"] == one.id
    assert told.detail["user"] == ADA.id


async def test_an_auditor_sees_a_session_and_may_not_end_it(world: World) -> None:
    made = await world.create()
    async with connected(world.core, ADA, made) as told:
        (one,) = await seen(world.core, EVE)
        with pytest.raises(Denied):
            await live_sessions.end(world.core, EVE, one.id)
        assert told == []
    assert "session.ended" not in [it.kind for it in await world.events(made.id)]


async def test_one_who_may_not_see_it_is_told_that_there_is_none(world: World) -> None:
    async with connected(world.core, ADA, await world.create()):
        (one,) = await seen(world.core, ADA)
        with pytest.raises(NotFound):
            await live_sessions.end(world.core, BOB, one.id)


async def test_a_token_that_only_reads_ends_nothing(world: World) -> None:
    async with connected(world.core, ADA, await world.create()):
        (one,) = await seen(world.core, ADA)
        reading = replace(ADA, scopes=frozenset({Permission.WORKSPACE_READ}))
        with pytest.raises(Denied):
            await live_sessions.end(world.core, reading, one.id)


async def test_an_error_of_the_connection_itself_comes_out_as_it_is(world: World) -> None:
    made = await world.create()
    with pytest.raises(ValueError, match="its own"), held(world.core, ADA, made, LiveKind.EXEC):
        raise ValueError("its own")
    assert await seen(world.core, ADA) == []


async def test_what_a_silent_server_said_is_not_believed_for_long(world: World) -> None:
    made = await world.create()
    async with connected(world.core, ADA, made):
        (one,) = await seen(world.core, ADA)
        theirs = replace(one, id="ssh-theirs", server="other")
    (text,) = messages("other", [theirs], [], {})
    Teller(world.core).heard(text)
    assert await seen(world.core, ADA) == [theirs]
    world.clock.move(seconds=BELIEVED_S)
    assert await seen(world.core, ADA) == []


async def test_a_server_speaks_only_of_its_own_sessions(world: World) -> None:
    made = await world.create()
    async with connected(world.core, ADA, made):
        (one,) = await seen(world.core, ADA)
        theirs = replace(one, id="ssh-theirs", server="other")
        (live,) = messages("other", [theirs], [], {})
        (gone,) = messages("third", [], [theirs.id], {})
        teller = Teller(world.core)
        teller.heard(live)
        teller.heard(gone)
        assert {it.id for it in await seen(world.core, ADA)} == {one.id, theirs.id}


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"from":"x","live":[{}]}', '{"from":"x","end":3}']
)
async def test_a_message_that_is_none_of_ours_changes_nothing(world: World, text: str) -> None:
    Teller(world.core).heard(text)
    assert world.core.live.all(T0) == []


def test_many_sessions_are_told_of_in_messages_that_postgresql_takes() -> None:
    many = [
        LiveSession(
            id=f"ssh-{n}",
            kind=LiveKind.SSH,
            server="s",
            workspace=WorkspaceId(f"ws-{n}"),
            workspace_name="é" * 60,
            owner=ADA.id,
            user=ADA.id,
            address="2001:db8::1",
            began_at=T0 + timedelta(seconds=n),
            detail={"client": "x" * 128},
        )
        for n in range(200)
    ]
    texts = messages("s", many, [], {})
    assert max(len(text.encode()) for text in texts) <= PAYLOAD_MAX
    assert sum(text.count('"id"') for text in texts) == len(many)


@asynccontextmanager
async def two_servers(url: str) -> AsyncGenerator[tuple[World, Core]]:
    """A world, and a second server on the same database, that tell each other."""
    first, second = Database(url), Database(url)
    async with open_world(first, MovedClock()) as world:
        other = Core.build(
            settings=world.core.settings,
            driver=world.driver,
            secret=SECRET,
            db=second,
            clock=world.clock,
        )
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(live_news.run, world.core)
                tasks.start_soon(live_news.run, other)
                yield world, other
                tasks.cancel_scope.cancel()
        finally:
            await other.aclose()
            await first.aclose()


async def until_seen(core: Core, many: int) -> list[LiveSession]:
    with anyio.fail_after(20):
        while len(found := await seen(core, ROOT)) != many:  # noqa: ASYNC110 - another server's
            await anyio.sleep(0.02)
    return found


@pytest.mark.postgres
async def test_each_server_lists_what_the_others_have_and_says_where(server_url: str) -> None:
    async with two_servers(server_url) as (world, other):
        made = await world.create()
        async with connected(world.core, ADA, made):
            (one,) = await until_seen(other, 1)
            assert one.server == world.core.live.server != other.live.server
        await until_seen(other, 0)


@pytest.mark.postgres
async def test_an_ending_reaches_the_server_that_has_the_connection(server_url: str) -> None:
    async with two_servers(server_url) as (world, other):
        async with connected(world.core, ADA, await world.create()) as told:
            (one,) = await until_seen(other, 1)
            with anyio.fail_after(ENDED_WITHIN_S):
                await live_sessions.end(other, ROOT, one.id)
                while not told:  # noqa: ASYNC110 - another server's
                    await anyio.sleep(0.01)
        assert told == ["root ended this session"]
