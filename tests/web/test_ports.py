"""Ports on a workspace's page: what may be chosen, and links that are shown once."""

import re
from html import unescape

import anyio
import httpx
import pytest

from alcove.core import ports
from alcove.model.workspace import Workspace
from tests.api.served import ADA, BOB, Served
from tests.api.test_apps import World, world
from tests.web.operators import browser

__all__ = ["world"]


def bound(api: Served, **settings: str) -> None:
    """As an operator would before a start."""
    for name, value in settings.items():
        object.__setattr__(api.core.settings, name, value)


def linked(page: str) -> str:
    """The address that the page shows."""
    [found] = set(re.findall(r'data-copy="(http[^"]+)"', page))
    return unescape(found)


async def shared(api: Served, made: Workspace, **form: str) -> httpx.Response:
    return await (await browser(api, "ada")).post(f"/workspaces/{made.id}/ports", data=form)


async def test_a_link_is_made_shown_once_and_told_of(api: Served) -> None:
    made = await api.workspace(ADA, name="mine")
    ada = await browser(api, "ada")
    answer = await ada.post(f"/workspaces/{made.id}/ports/8000/link", data={"ttl": "15m"})
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    assert "alcove port share mine 8000 --link --ttl 15m" in answer.text
    url = linked(answer.text)
    assert url.startswith("http://8000--mine--ada.apps.localhost:7080/?alcove_link=")
    link, _ = await ports.check(api.core, url.partition("=")[2])
    assert (link.port, link.maker) == (8000, ADA.id)
    assert link.expires == api.world.clock().timestamp() + 900
    [event] = [e for e in await api.world.events(made.id) if e.kind == "port.shared"]
    assert (event.actor, event.detail["level"]) == (ADA.id, "link")
    assert "alcove_link" not in (await ada.get(f"/workspaces/{made.id}")).text


async def test_a_life_over_the_operators_bound_is_refused(api: Served) -> None:
    bound(api, link_ttl_max="1h")
    made = await api.workspace(ADA)
    ada = await browser(api, "ada")
    answer = await ada.post(f"/workspaces/{made.id}/ports/8000/link", data={"ttl": "8h"})
    assert answer.status_code == 422
    assert "ttl: must be between 1s and 1h" in answer.text


async def test_nobody_makes_links_to_what_is_not_theirs_to_share(api: Served) -> None:
    made = await api.workspace(BOB)
    for name, status in (("ada", 404), ("eve", 403)):
        path = f"/workspaces/{made.id}/ports/8000/link"
        answer = await (await browser(api, name)).post(path, data={"ttl": "15m"})
        assert answer.status_code == status
    assert not [e for e in await api.world.events(made.id) if e.kind == "port.shared"]


async def test_a_level_over_the_bound_is_refused_and_named(api: Served) -> None:
    bound(api, share_level_max="team")
    made = await api.workspace(ADA)
    answer = await shared(api, made, port="8000", level="public")
    assert answer.status_code == 422
    assert "level: public is wider than team" in answer.text
    assert (await shared(api, made, port="8000", level="team")).status_code == 303


@pytest.mark.root
async def test_the_page_offers_what_the_operator_allows(world: World) -> None:
    path = f"/workspaces/{world.workspace.id}/ports"
    ada = world.client(host="127.0.0.1:7080", cookie=await world.session())
    assert 'value="public"' in (await ada.get(path)).text
    bound(world.api, share_level_max="team", link_ttl_max="1h")
    page = (await ada.get(path)).text
    assert 'value="team"' in page
    assert 'value="public"' not in page
    lives = set(re.findall(r'value="([0-9]+[mhd])"', page))
    assert lives == {"15m", "1h"}
    bound(world.api, link_ttl_max="")
    assert "Make a link" not in (await ada.get(path)).text


async def test_an_agent_that_says_nothing_is_not_taken_for_an_empty_workspace(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(*_: object, **__: object) -> None:
        await anyio.sleep_forever()

    path = f"/workspaces/{world.workspace.id}/ports"
    ada = world.client(host="127.0.0.1:7080", cookie=await world.session())
    monkeypatch.setattr(world.api.core.agents, "stats", silent)
    page = (await ada.get(path)).text
    assert "has not said yet what listens" in page
    assert "Nothing listens yet" not in page
