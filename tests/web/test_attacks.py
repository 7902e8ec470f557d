"""What users, workspaces and other sites write is never markup, and never done by itself."""

import re
from dataclasses import replace

import pytest
from starlette.routing import Route

from alcove.core import events
from alcove.core.news import EVERYTHING as ALL
from alcove.core.news import NAMES_MAX
from alcove.store.events import EVERYTHING
from alcove.web.routes import PAGES
from alcove.web.sign_in import local
from tests.api.served import ADA, BOB, Served
from tests.core.world import add_template
from tests.web.test_pages import browser

MARK = "<script>alert(1)</script>"
QUOTED = '"\' onmouseover=alert(1) x="'
EVIL = f"""
name: evil
display_name: '{MARK}'
description: '{MARK} <img src=x onerror=alert(1)> [link](javascript:alert(1))'
icon: /icon/python.svg
image: {{debian: bookworm, packages: [git]}}
parameters:
  - name: taste
    type: choice
    default: '{MARK}'
    options: ['{MARK}', plain]
    display_name: '{MARK}'
    description: '{MARK}'
"""
POSTS = [
    route.path
    for routes in PAGES
    for route in routes.routes
    if isinstance(route, Route) and "POST" in (route.methods or ())
]


def harmless(page: str) -> bool:
    return MARK not in page and "<img src=x" not in page and QUOTED not in page


async def test_what_a_template_says_is_never_markup(api: Served) -> None:
    async with api.core.db.transaction() as tx:
        await add_template(tx, EVIL.encode())
    ada = await browser(api)
    for path in ("/templates", "/templates?q=evil", "/create/evil", "/"):
        page = (await ada.get(path)).text
        assert harmless(page)
        assert 'href="javascript:' not in page


async def test_what_a_workspace_is_called_and_says_is_never_markup(api: Served) -> None:
    labels = {"task": MARK, "note": QUOTED}
    made = await api.workspace(ADA, name="mine", labels=labels)
    await api.world.settle()
    agent = api.world.driver.runtimes[made.id].agent
    agent.log.append({"offset": 1, "at": None, "source": MARK, "line": MARK})
    agent.startup = {
        "revision": 2,
        "id": "x",
        "state": "failed",
        "steps": [{"name": MARK, "state": "failed", "error": QUOTED}],
    }
    agent.stats["listening_ports"] = [{"port": 8000, "address": MARK, "command": MARK}]
    ada = await browser(api)
    here = f"/workspaces/{made.id}"
    for path in ("/", here, *(f"{here}/{part}" for part in ("live", "ports", "logs", "settings"))):
        assert harmless((await ada.get(path)).text), path


@pytest.mark.parametrize("path", ["/?q={}", "/templates?q={}", "/palette?q={}", "/?template={}"])
@pytest.mark.parametrize("text", [MARK, QUOTED])
async def test_what_an_address_says_is_never_markup(api: Served, path: str, text: str) -> None:
    await api.workspace(ADA, name="mine")
    ada = await browser(api)
    assert harmless((await ada.get(path.partition("=")[0] + "=" + text)).text)


@pytest.mark.parametrize("path", POSTS)
async def test_no_form_works_from_another_site(api: Served, path: str) -> None:
    made = await api.workspace(ADA, name="mine")
    cookie = (await browser(api)).cookies["alcove_session"]
    forged = api.bare(origin="http://evil.example", cookie=f"alcove_session={cookie}")
    address = re.sub(r"{[^}]*}", made.id, path)
    answer = await forged.post(address, data={"name": "mine", "verb": "delete"})
    assert answer.status_code == 403
    assert (await api.world.row(made.id)).desired == "running"


@pytest.mark.parametrize("path", ["/", "/templates", "/sign-in", "/workspaces/nothing"])
async def test_no_other_site_may_frame_a_page(api: Served, path: str) -> None:
    answer = await (await browser(api)).get(path)
    assert answer.headers["x-frame-options"] == "DENY"
    policy = answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "\\\\evil.example",
        "/\n//evil.example",
    ],
)
async def test_signing_in_leads_to_our_own_pages_only(api: Served, path: str) -> None:
    assert local(path) == "/"
    page = (await api.bare().get("/sign-in", params={"next": path})).text
    assert 'name="next" value="/"' in page


async def test_a_name_in_an_address_leads_nowhere_else(api: Served) -> None:
    ada = await browser(api)
    answer = await ada.get("/templates/%2f%2fevil.example/new")
    assert not answer.headers.get("location", "/").startswith("//")


async def test_the_stream_of_names_tells_a_member_of_nobody_elses(api: Served) -> None:
    visible = events.visible_to(ADA, EVERYTHING)
    assert visible is not None
    with api.core.news.watch(visible, {"workspace"}) as watcher:
        theirs = await api.workspace(BOB, name="theirs")
        mine = await api.workspace(ADA, name="mine")
        for event in await api.world.events():
            api.core.news.tell(event)
        assert watcher.names == {f"workspace {mine.id}"}
        assert theirs.id not in str(watcher.names)


async def test_a_watcher_that_takes_nothing_does_not_grow(api: Served) -> None:
    await api.workspace(ADA, name="mine")
    [first, *_] = await api.world.events()
    with api.core.news.watch(EVERYTHING, {"workspace"}) as watcher:
        for number in range(NAMES_MAX + 50):
            api.core.news.tell(replace(first, kind="workspace.created", subject=f"ws-{number}"))
        assert len(watcher.names) <= NAMES_MAX
        assert ALL in watcher.names
