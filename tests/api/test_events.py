"""What the log is asked for over HTTP."""

from tests.api.served import ADA, BOB, EVE, Served
from tests.conftest import MovedClock


async def test_events_are_found_by_time_owner_and_noun(api: Served, clock: MovedClock) -> None:
    await api.workspace(ADA, name="early")
    clock.move(hours=1)
    at = clock.now.isoformat()
    made = await api.workspace(BOB, name="late")
    auditor = await api.client(EVE)

    async def subjects(**wanted: str) -> list[str]:
        found = (await auditor.get("/api/v2/events", params=wanted)).json()["items"]
        return [event["subject"] for event in found]

    assert await subjects(since=at) == [made.id]
    assert made.id not in await subjects(until=at)
    assert await subjects(owner="bob", type="workspace.*") == [made.id]
    assert await subjects(subject=made.id) == [made.id]
    assert await subjects(owner="nobody") == []
    assert (await auditor.get("/api/v2/events", params={"since": "now"})).status_code == 422
