"""A template's pages: versions, differences, promoting, and its pool."""

import pytest

from alcove.core import pools, templates
from alcove.model.pool import PoolMode, Window
from tests.api.served import ADA, ROOT, Served
from tests.core.world import PYTHON
from tests.web.operators import HOSTILE, browser, is_safe

MORE = PYTHON + b"resources: {memory: 8Gi}\n"


async def push(api: Served, text: bytes = MORE, message: str = "More memory") -> None:
    files = {"template.yaml": text}
    await templates.push(api.core, ROOT, name="python", files=files, message=message)


async def active(api: Served) -> int | None:
    return (await templates.get(api.core, ROOT, "python")).template.active


async def test_versions_say_who_made_them_and_who_uses_them(api: Served) -> None:
    await api.workspace(ADA, name="mine")
    await push(api)
    page = (await (await browser(api, "max")).get("/templates/python")).text
    for words in ("More memory", "root", "active", "ada/mine", "/versions/2/promote", "flavor"):
        assert words in page


async def test_members_see_versions_and_not_whose_workspaces(api: Served) -> None:
    await api.workspace(ADA, name="secret-plan")
    page = (await (await browser(api, "bob")).get("/templates/python")).text
    assert "secret-plan" not in page
    assert "promote" not in page.partition("<main")[2]


async def test_a_difference_shows_lines_and_what_workspaces_get(api: Served) -> None:
    await push(api)
    page = (await (await browser(api, "ada")).get("/templates/python/diff")).text
    assert "+resources: {memory: 8Gi}" in page
    assert "resources.memory" in page
    assert "8192 MiB" in page


async def test_promoting_says_first_which_workspaces_stay(api: Served) -> None:
    await api.workspace(ADA, name="mine")
    await push(api)
    admin = await browser(api, "max")
    page = (await admin.get("/templates/python/versions/2/promote")).text
    assert "1 workspace stays on version 1" in page
    assert "ada/mine" in page
    assert await active(api) == 1
    await admin.post("/templates/python/versions/2/promote")
    assert await active(api) == 2
    back = (await admin.get("/templates/python/versions/1/promote")).text
    assert "Roll back python to version 1?" in back


async def test_nothing_that_was_pushed_is_markup(api: Served) -> None:
    text = PYTHON.replace(b"Python for people", f"'{HOSTILE}'".encode())
    await push(api, text + f"# {HOSTILE}\n".encode(), message=HOSTILE)
    client = await browser(api, "max")
    for path in ("", "?version=2", "/diff", "/versions/2/promote", "/pool"):
        answer = await client.get(f"/templates/python{path}")
        assert answer.status_code == 200
        assert is_safe(answer.text), path


@pytest.mark.parametrize("path", ["?version=9", "/diff?before=1&after=9", "/versions/9/promote"])
async def test_a_version_that_is_not_there_says_so(api: Served, path: str) -> None:
    answer = await (await browser(api, "max")).get(f"/templates/python{path}")
    assert answer.status_code == 404
    assert "has no version 9; latest is 1" in answer.text


async def test_an_operator_sets_the_pool_and_lets_the_template_decide_again(api: Served) -> None:
    admin = await browser(api, "max")
    fields = {"min": "2", "max": "5", "mode": "adaptive", "refill": "3"}
    assert (await admin.post("/templates/python/pool", data=fields)).status_code == 303
    settings = (await pools.get(api.core, ROOT, "python", None)).pool.settings
    assert (settings.min, settings.max, settings.mode) == (2, 5, PoolMode.ADAPTIVE)
    await admin.post("/templates/python/pool/reset")
    assert not (await pools.get(api.core, ROOT, "python", None)).pool.settings.on


async def test_the_schedule_is_shown_and_set_on_the_page(api: Served) -> None:
    admin = await browser(api, "max")
    fields = {"min": "2", "max": "9", "mode": "fixed", "refill": "3", "zone": "Europe/Paris"}
    lines = "mon-fri 08:00-18:00 7\r\n\r\nsat,sun 22:00-02:00 4"
    answer = await admin.post("/templates/python/pool", data={**fields, "schedule": lines})
    assert answer.status_code == 303
    settings = (await pools.get(api.core, ROOT, "python", None)).pool.settings
    assert settings.zone == "Europe/Paris"
    assert settings.schedule == (
        Window(("mon", "tue", "wed", "thu", "fri"), "08:00", "18:00", 7),
        Window(("sat", "sun"), "22:00", "02:00", 4),
    )
    page = (await admin.get("/templates/python/pool")).text
    assert "mon,tue,wed,thu,fri 08:00-18:00 7\nsat,sun 22:00-02:00 4" in page
    await admin.post("/templates/python/pool", data=fields)
    assert (await pools.get(api.core, ROOT, "python", None)).pool.settings == settings
    await admin.post("/templates/python/pool", data={**fields, "schedule": ""})
    assert (await pools.get(api.core, ROOT, "python", None)).pool.settings.schedule == ()


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("mon-fri", "line 1 is not written like"),
        ("\nfoo 08:00-18:00 2", "line 2: &#39;foo&#39; is not days"),
        ("daily 08:00-25:00 2", "line 1 is not written like"),
        ("daily 08:00-18:00 2\ndaily 19:00-20:00 8", "line 2: min 8 is over max 5"),
        ("daily 08:00-18:00 99999", "line 1: at most 1000"),
        ("daily 08:00-18:00 2\n" * 21, "at most 20 lines"),
        (HOSTILE, "line 1 is not written like"),
    ],
)
async def test_a_schedule_that_cannot_be_says_which_line(
    api: Served, schedule: str, said: str
) -> None:
    fields = {"min": "2", "max": "5", "mode": "fixed", "refill": "3", "schedule": schedule}
    answer = await (await browser(api, "max")).post("/templates/python/pool", data=fields)
    assert answer.status_code == 422
    assert said in answer.text
    assert is_safe(answer.text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("zone", "Mars"),
        ("min", "-1"),
        ("max", "many"),
        ("refill", "nan"),
        ("mode", HOSTILE),
        ("min", "9"),
    ],
)
async def test_a_pool_that_cannot_be_says_why_beside_it(
    api: Served, name: str, value: str
) -> None:
    fields = {"min": "2", "max": "5", "mode": "fixed", "refill": "3", name: value}
    answer = await (await browser(api, "max")).post("/templates/python/pool", data=fields)
    assert answer.status_code == 422
    assert 'class="field wrong"' in answer.text
    assert is_safe(answer.text)
