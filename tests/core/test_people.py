"""Users with what they have; sessions; the way back for who forgot a password."""

import pytest

from alcove.core import people, sign_in, tokens, users
from alcove.core.identity import authenticate_session, tidy
from alcove.core.sign_in import SignedIn
from alcove.core.users import UserChanges, UserDraft
from alcove.model.access import Actor, Permission, Role
from alcove.model.errors import Conflict, Denied, NotFound, Unauthenticated
from alcove.model.workspace import UserId
from tests.core.world import ADA, BOB, ROOT, World

EVE = Actor(id=UserId("u-eve"), name="eve", role=Role.AUDITOR)
PASSWORD = "correct horse battery"


async def signed_in(world: World, name: str) -> SignedIn:
    secret, _ = await sign_in.new_link(world.core, None, name)
    return await sign_in.by_link(world.core, secret.text, address="192.0.2.1")


async def actor_of(world: World, done: SignedIn) -> Actor:
    return await authenticate_session(world.core, done.secret.text)


async def test_a_person_is_told_with_what_they_have(world: World) -> None:
    await world.create(name="one")
    await world.create(name="two")
    await world.settle()
    await world.create(name="three")
    await tokens.create(world.core, ADA, tokens.TokenDraft(name="ci"))
    await signed_in(world, "ada")
    ada, bob, _ = await people.find(world.core, EVE)
    assert (ada.user.name, ada.workspaces, ada.running, ada.tokens, ada.sessions) == (
        "ada",
        3,
        2,
        1,
        1,
    )
    assert (bob.workspaces, bob.tokens, bob.sessions, bob.seen_at) == (0, 0, 0, None)
    assert not ada.has_password


async def test_when_somebody_was_last_seen_is_told(world: World) -> None:
    done = await signed_in(world, "ada")
    world.clock.move(minutes=7)
    await actor_of(world, done)
    await tidy(world.core)
    assert (await people.get(world.core, EVE, "ada")).seen_at == world.clock.now


async def test_a_token_that_is_over_counts_no_more(world: World) -> None:
    draft = tokens.TokenDraft(name="ci", expires_in_s=60)
    await tokens.create(world.core, ADA, draft)
    world.clock.move(minutes=2)
    assert (await people.get(world.core, EVE, "ada")).tokens == 0


async def test_people_are_found_by_their_words_page_by_page(world: World) -> None:
    assert [p.user.name for p in await people.find(world.core, EVE, text="OB")] == ["bob"]
    assert [p.user.name for p in await people.find(world.core, EVE, after="ada", limit=1)] == [
        "bob"
    ]


async def test_a_page_costs_one_query(world: World) -> None:
    before = world.core.db.queries
    await people.find(world.core, EVE)
    assert world.core.db.queries - before == 1


async def test_members_do_not_see_what_others_have(world: World) -> None:
    with pytest.raises(Denied):
        await people.find(world.core, ADA)
    with pytest.raises(Denied):
        await people.get(world.core, ADA, "ada")


async def test_a_reset_ends_sessions_and_lets_in_once_without_the_old_password(
    world: World,
) -> None:
    made = await users.create(world.core, ROOT, UserDraft("dan", password=PASSWORD))
    done = await signed_in(world, "dan")
    secret, _ = await people.reset_password(world.core, ROOT, "dan")
    with pytest.raises(Unauthenticated):
        await actor_of(world, done)
    with pytest.raises(Unauthenticated):
        await sign_in.by_password(world.core, name="dan", password=PASSWORD, address="")
    again = await sign_in.by_link(world.core, secret.text, address="")
    dan = await actor_of(world, again)
    await users.set_password(world.core, dan, "me", current=None, new="another good one")
    [told, *_] = [e for e in await world.events(made.id) if e.detail.get("reset")]
    assert (told.kind, told.actor) == ("user.password_changed", ROOT.id)


async def test_a_link_to_sign_in_is_told_of_without_its_secret(world: World) -> None:
    secret, _ = await sign_in.new_link(world.core, ROOT, "bob")
    [told] = await world.events(BOB.id)
    assert (told.kind, told.actor) == ("sign_in_link.created", ROOT.id)
    assert secret.text not in str(told)


async def test_only_administrators_reset_passwords(world: World) -> None:
    for actor in (ADA, EVE):
        with pytest.raises((Denied, NotFound)):
            await people.reset_password(world.core, actor, "bob")


async def test_an_admin_does_not_reset_an_owners_password(world: World) -> None:
    admin = Actor(id=UserId("u-bob"), name="bob", role=Role.ADMIN)
    with pytest.raises(Denied):
        await people.reset_password(world.core, admin, "root")


async def test_nobody_resets_their_own(world: World) -> None:
    with pytest.raises(Conflict):
        await people.reset_password(world.core, ROOT, "root")


async def test_a_session_is_ended_by_its_user(world: World) -> None:
    here = await actor_of(world, await signed_in(world, "ada"))
    there = await signed_in(world, "ada")
    assert len(await people.sessions_of(world.core, here)) == 2
    await people.end_session(world.core, here, there.session.id)
    with pytest.raises(Unauthenticated):
        await actor_of(world, there)
    assert (await world.events(there.session.id))[-1].kind == "session.revoked"


async def test_all_others_are_ended_but_this_one(world: World) -> None:
    here = await signed_in(world, "ada")
    for _ in range(2):
        await signed_in(world, "ada")
    actor = await actor_of(world, here)
    assert await people.end_other_sessions(world.core, actor) == 2
    [left] = await people.sessions_of(world.core, actor)
    assert left.session.id == here.session.id


async def test_nobody_ends_somebody_elses(world: World) -> None:
    theirs = await signed_in(world, "bob")
    here = await actor_of(world, await signed_in(world, "ada"))
    with pytest.raises(NotFound):
        await people.end_session(world.core, here, theirs.session.id)
    with pytest.raises(Denied):
        await people.end_session(world.core, here, theirs.session.id, ref="bob")
    assert (await actor_of(world, theirs)).id == BOB.id


async def test_an_administrator_ends_anybodys(world: World) -> None:
    theirs = await signed_in(world, "bob")
    await people.end_session(world.core, ROOT, theirs.session.id, ref="bob")
    with pytest.raises(Unauthenticated):
        await actor_of(world, theirs)


async def test_a_token_with_scopes_manages_no_sessions(world: World) -> None:
    limited = Actor(ADA.id, ADA.name, ADA.role, scopes=frozenset(Permission))
    with pytest.raises(Denied):
        await people.sessions_of(world.core, limited)


async def test_an_administrator_does_not_lower_themselves(world: World) -> None:
    await users.update(world.core, ROOT, "bob", UserChanges(role=Role.ADMIN))
    admin = Actor(id=BOB.id, name="bob", role=Role.ADMIN)
    with pytest.raises(Conflict):
        await users.update(world.core, admin, "bob", UserChanges(role=Role.MEMBER))
