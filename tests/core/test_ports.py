"""Who may open a port: what its owner said, within what the operator and the template allow."""

from dataclasses import replace
from datetime import timedelta

import pytest

from alcove.config import load
from alcove.core import apps, ports
from alcove.model.app import App
from alcove.model.errors import Invalid, NotFound
from alcove.model.port import Level
from alcove.model.workspace import Workspace
from tests.core.world import ADA, BOB, World


def bounded(world: World, **settings: str) -> World:
    """The same world under an operator who says this now."""
    changed = replace(world.core.settings, **settings)  # type: ignore[arg-type]
    return replace(world, core=replace(world.core, settings=changed))


async def shared(world: World, level: Level) -> Workspace:
    made = await world.create()
    await ports.share(world.core, ADA, made.id, 8000, level=level)
    return made


@pytest.mark.parametrize(
    ("most", "allowed"), [("private", ["private"]), ("team", ["private", "team"])]
)
async def test_a_level_over_the_operators_is_refused_by_its_field(
    world: World, most: str, allowed: list[str]
) -> None:
    world, made = bounded(world, share_level_max=most), await world.create()
    assert list(ports.levels(world.core, made)) == allowed
    for level in allowed:
        await ports.share(world.core, ADA, made.id, 8000, level=Level(level))
    with pytest.raises(Invalid) as raised:
        await ports.share(world.core, ADA, made.id, 8000, level=Level.PUBLIC)
    [fault] = raised.value.errors
    assert fault.field == "level"
    assert f"{most}, the widest that this server allows" in fault.message
    assert await ports.may_open(world.core, None, made, 8000) is False


async def test_what_was_shared_before_is_narrowed_and_comes_back(world: World) -> None:
    made = await shared(world, Level.PUBLIC)
    assert await ports.may_open(world.core, None, made, 8000)
    narrow = bounded(world, share_level_max="team")
    assert not await ports.may_open(narrow.core, None, made, 8000)
    assert await ports.may_open(narrow.core, BOB, made, 8000)
    closed = bounded(world, share_level_max="private")
    assert not await ports.may_open(closed.core, BOB, made, 8000)
    assert await ports.may_open(closed.core, ADA, made, 8000)
    assert await ports.may_open(world.core, None, made, 8000)


async def test_a_template_may_only_be_stricter(world: World) -> None:
    made = await world.revise(await shared(world, Level.PUBLIC), share_max=Level.TEAM)
    assert not await ports.may_open(world.core, None, made, 8000)
    with pytest.raises(Invalid, match="the widest that the template allows"):
        await ports.share(world.core, ADA, made.id, 8000, level=Level.PUBLIC)
    closed = bounded(world, share_level_max="private")
    assert list(ports.levels(closed.core, made)) == [Level.PRIVATE]


async def test_an_app_of_the_template_is_no_wider_either(world: World) -> None:
    app = App(name="web", display_name="Web", port=8000, share=Level.PUBLIC)
    made = await world.revise(await world.create(), apps=(app,))
    narrow = bounded(world, share_level_max="team")
    assert await ports.may_open(world.core, None, made, 8000)
    assert not await ports.may_open(narrow.core, None, made, 8000)
    [offered] = await apps.of(narrow.core, made)
    assert offered.level is Level.TEAM


async def test_an_app_made_private_stays_so_when_the_bound_is_lifted(world: World) -> None:
    app = App(name="web", display_name="Web", port=8000, share=Level.TEAM)
    made = await world.revise(await world.create(), apps=(app,))
    closed = bounded(world, share_level_max="private")
    await ports.unshare(closed.core, ADA, made.id, 8000)
    assert not await ports.may_open(world.core, BOB, made, 8000)


async def test_a_link_lives_no_longer_than_the_operator_allows(world: World) -> None:
    made = await world.create()
    short = bounded(world, link_ttl_max="1h")
    link = await ports.sign(short.core, ADA, made, 8000, ttl_s=3600)
    assert link.expires == (world.clock() + timedelta(hours=1)).timestamp()
    with pytest.raises(Invalid, match="ttl: must be between 1s and 1h"):
        await ports.sign(short.core, ADA, made, 8000, ttl_s=3601)


async def test_where_there_are_no_links_those_that_were_made_open_nothing(world: World) -> None:
    made = await world.create()
    link = await ports.sign(world.core, ADA, made, 8000, ttl_s=60)
    none = bounded(world, link_ttl_max="")
    assert (await ports.check(world.core, link.token))[0].port == 8000
    with pytest.raises(NotFound):
        await ports.check(none.core, link.token)
    with pytest.raises(Invalid, match="makes no links"):
        await ports.sign(none.core, ADA, made, 8000, ttl_s=60)


@pytest.mark.parametrize(("name", "value"), [("share_level_max", "all"), ("link_ttl_max", "soon")])
def test_a_bound_that_means_nothing_stops_the_start(name: str, value: str) -> None:
    with pytest.raises(Invalid, match=name):
        load({f"ALCOVE_{name.upper()}": value})
