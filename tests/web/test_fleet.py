"""The fleet's page: what an operator sees of an incident without a second page."""

import pytest

from alcove.core import workspaces
from alcove.model.errors import DriverError
from alcove.web.fleet_numbers import hit_rate
from alcove.web.fleet_rows import Asked
from alcove.web.text import seconds
from tests.api.served import ADA, BOB, Served
from tests.web.operators import HOSTILE, browser, is_safe


async def test_it_says_who_runs_what_with_the_reason(api: Served) -> None:
    await api.workspace(ADA, name="mine", labels={"task": "totals"})
    made = await api.workspace(BOB, name="theirs")
    await api.world.settle()
    await workspaces.stop(api.core, BOB, made.id)
    await api.world.settle()
    page = (await (await browser(api, "eve")).get("/fleet")).text
    for words in ("mine", "theirs", "totals", "stopped: bob asked for it", "/fleet?owner=bob"):
        assert words in page


async def test_what_failed_says_of_whom_and_why(api: Served) -> None:
    api.world.driver.failure = DriverError("no space left", retry=False)
    api.world.driver.fail_next = 1
    made = await api.workspace(ADA, name="unlucky")
    await api.world.settle()
    page = (await (await browser(api, "max")).get("/fleet/numbers")).text
    assert "no space left" in page
    assert f"/workspaces/{made.id}" in page
    assert "of ada" in page


async def test_filters_and_order_stand_in_the_address(api: Served) -> None:
    await api.workspace(ADA, name="alpha")
    await api.workspace(BOB, name="beta", template="agent")
    client = await browser(api, "max")
    page = (await client.get("/fleet?kind=agents&q=bet&order=name")).text
    assert "beta" in page
    assert "alpha" not in page
    # A further filter keeps those that hold.
    assert "kind=agents&amp;q=bet&amp;order=name" in page.replace("&#34;", "")


async def test_what_is_no_filter_of_ours_hides_nothing(api: Served) -> None:
    await api.workspace(ADA, name="alpha")
    client = await browser(api, "max")
    assert "alpha" in (await client.get("/fleet?state=odd&kind=odd&order=odd&isolation=odd")).text


@pytest.mark.parametrize("path", ["/fleet/rows?q={}", "/fleet?owner={}", "/fleet?template={}"])
async def test_what_is_asked_for_is_never_markup(api: Served, path: str) -> None:
    answer = await (await browser(api, "max")).get(path.format(HOSTILE))
    assert answer.status_code == 200
    assert is_safe(answer.text)


async def test_what_a_driver_says_is_never_markup(api: Served) -> None:
    api.world.driver.failure = DriverError(HOSTILE, retry=False)
    api.world.driver.fail_next = 1
    await api.workspace(ADA, name="two")
    await api.world.settle()
    page = (await (await browser(api, "max")).get("/fleet")).text
    assert "alert(1)" in page
    assert is_safe(page)


async def test_a_page_costs_the_same_queries_however_many_there_are(api: Served) -> None:
    client = await browser(api, "max")
    costs: list[int] = []
    for name in ("a", "b", "c", "d"):
        await api.workspace(ADA, name=name)
        await api.world.settle()
        await client.get("/fleet")
        before = api.core.db.queries
        await client.get("/fleet")
        costs.append(api.core.db.queries - before)
    assert len(set(costs)) == 1
    assert costs[0] <= 15


def test_another_filter_begins_at_the_first_page() -> None:
    assert Asked(state="running", skip=200).path(kind="agents") == (
        "/fleet?state=running&kind=agents"
    )


@pytest.mark.parametrize(("number", "said"), [(0.041, "41 ms"), (1.23, "1.2 s"), (190, "3m 10s")])
def test_durations_are_short(number: float, said: str) -> None:
    assert seconds(number) == said


def test_a_hit_rate_says_of_how_many() -> None:
    assert hit_rate(3, 1) == "75% of 4 hit"
    assert hit_rate(0, 0) == "nobody asked"
