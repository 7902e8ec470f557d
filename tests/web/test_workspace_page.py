"""One workspace's page: what it costs, and what it does about an agent that says nothing."""

import re
from collections.abc import Mapping

import anyio
import pytest

from alcove.core import workspaces
from alcove.model.errors import DriverError
from alcove.model.workspace import Phase, Workspace
from alcove.web import about
from tests.api.served import ADA, Served
from tests.web.operators import browser

QUERIES = 3
"""The workspace, what of it is shared, and what happened."""

SAID: Mapping[str, Mapping[str, object]] = {
    "/alcove/startup": {"steps": [{"name": "one", "state": "done"}]},
    "/alcove/stats": {"listening_ports": [{"port": 8123}]},
}


async def silent(*_: object, **__: object) -> None:
    await anyio.sleep_forever()


async def in_phase(api: Served, phase: Phase) -> Workspace:
    """One of ada's that got there as it would."""
    made = await api.workspace(ADA, name=f"a-{phase}")
    if phase is Phase.FAILED:
        api.world.driver.fail_next, api.world.driver.failure = (
            1,
            DriverError("scripted", retry=False),
        )
    await api.world.settle()
    if phase is Phase.STOPPED:
        await workspaces.stop(api.core, ADA, made.id)
        await api.world.settle()
    row = await api.world.row(made.id)
    assert row.phase is phase
    return row


async def costs(api: Served, made: Workspace) -> Mapping[str, int]:
    """Queries of the page and of its parts."""
    ada = await browser(api, "ada")
    found: dict[str, int] = {}
    for part in ("", "/live", "/ports"):
        for _ in range(2):
            before = api.core.db.queries
            answer = await ada.get(f"/workspaces/{made.id}{part}")
            assert answer.status_code == 200
            found[part] = api.core.db.queries - before
    return found


async def test_a_page_costs_the_same_few_queries_however_much_there_is(api: Served) -> None:
    made = await in_phase(api, Phase.RUNNING)
    few = await costs(api, made)
    assert few == {"": QUERIES, "/live": 1, "/ports": 2}
    for number in range(20):
        await api.workspace(ADA, name=f"other-{number}", labels={"n": str(number)})
    await api.world.settle()
    assert await costs(api, made) == few


@pytest.mark.parametrize("phase", [Phase.STOPPED, Phase.FAILED])
async def test_a_page_of_what_does_not_run_asks_no_agent(
    api: Served, phase: Phase, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await in_phase(api, phase)
    monkeypatch.setattr(api.core.agents, "json", silent)
    assert await costs(api, made) == {"": QUERIES - 1, "/live": 1, "/ports": 1}


async def test_what_an_agent_is_asked_it_is_asked_at_once(
    api: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each answer waits until everything was asked."""
    made = await in_phase(api, Phase.RUNNING)
    asked: set[str] = set()
    all_asked = anyio.Event()

    async def json(_: object, __: str, target: str, **___: object) -> Mapping[str, object]:
        what = target.partition("?")[0]
        asked.add(what)
        if len(asked) == 2:
            all_asked.set()
        await all_asked.wait()
        return SAID[what]

    monkeypatch.setattr(api.core.agents, "json", json)
    live = await about.live_of(api.core, made, owner="ada")
    assert live.answered
    assert [port.port for port in live.ports] == [8123]
    assert [step.name for step in live.steps] == ["one"]


async def test_a_page_does_not_wait_for_a_silent_agent_and_loads_the_rest_later(
    api: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await in_phase(api, Phase.RUNNING)
    ada = await browser(api, "ada")
    said = (await ada.get(f"/workspaces/{made.id}")).text
    assert "load" not in triggers(said)
    assert 'http-equiv="refresh"' not in said
    monkeypatch.setattr(api.core.agents, "json", silent)
    page = (await ada.get(f"/workspaces/{made.id}")).text
    assert triggers(page).count("load") == 2
    # Without JavaScript it is looked at again.
    assert '<noscript><meta http-equiv="refresh"' in page
    # A part that did not hear either waits for the next tick.
    assert "load" not in triggers((await ada.get(f"/workspaces/{made.id}/ports")).text)


async def test_a_page_is_less_patient_than_its_parts(
    api: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await in_phase(api, Phase.RUNNING)
    ada = await browser(api, "ada")
    waited: list[float | None] = []
    plain = anyio.move_on_after

    def noted(delay: float | None, *, shield: bool = False) -> anyio.CancelScope:
        waited.append(delay)
        return plain(delay, shield=shield)

    monkeypatch.setattr(about.anyio, "move_on_after", noted)
    for part in ("", "/live", "/ports"):
        await ada.get(f"/workspaces/{made.id}{part}")
    assert about.PAGE_PATIENCE_S in waited
    assert about.PAGE_PATIENCE_S <= 0.1 < about.PATIENCE_S
    assert waited.count(about.PATIENCE_S) == 2


def triggers(page: str) -> list[str]:
    """What makes parts of the page load themselves."""
    return [
        word.strip()
        for said in re.findall(r'hx-trigger="([^"]*)"', page)
        for word in said.split(",")
    ]
