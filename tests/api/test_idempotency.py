"""The same key gets the same answer, and the deed is done once."""

from typing import TYPE_CHECKING

import anyio

from alcove.model.workspace import WorkspaceId
from tests.api.served import ADA, BOB, MAX, Served

if TYPE_CHECKING:
    import httpx

W = "/api/v2/workspaces"
KEY = {"idempotency-key": "abc"}
BODY = {"template": "python"}


async def count(api: Served) -> int:
    return len((await (await api.client(MAX)).get(W)).json()["items"])


async def test_a_repeated_request_gets_the_first_answer(api_on: Served) -> None:
    client = await api_on.client()
    first = await client.post(W, json=BODY, headers=KEY)
    again = await client.post(W, json=BODY, headers=KEY)
    assert again.status_code == 201
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert await count(api_on) == 1


async def test_another_body_under_the_same_key_is_a_conflict(api: Served) -> None:
    client = await api.client()
    await client.post(W, json=BODY, headers=KEY)
    answer = await client.post(W, json={**BODY, "name": "x"}, headers=KEY)
    assert answer.status_code == 409


async def test_another_address_under_the_same_key_is_a_conflict(api: Served) -> None:
    client = await api.client(MAX)
    await client.post(W, json=BODY, headers=KEY)
    answer = await client.post("/api/v2/users", json={"name": "x"}, headers=KEY)
    assert answer.status_code == 409


async def test_a_key_belongs_to_its_user(api: Served) -> None:
    for actor in (ADA, BOB):
        client = await api.client(actor)
        answer = await client.post(W, json=BODY, headers=KEY)
        assert answer.json()["owner"] == actor.name


async def test_a_refusal_is_repeated_too(api: Served) -> None:
    client = await api.client()
    first = await client.post(W, json={"template": "none"}, headers=KEY)
    again = await client.post(W, json={"template": "none"}, headers=KEY)
    assert first.status_code == again.status_code == 404
    assert again.headers["content-type"] == "application/problem+json"


async def test_of_two_at_the_same_moment_one_is_done(api_on: Served) -> None:
    client = await api_on.client()
    answers: list[httpx.Response] = []

    async def send() -> None:
        answers.append(await client.post(W, json=BODY, headers=KEY))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(send)
    assert await count(api_on) == 1
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert 201 in {answer.status_code for answer in answers}


async def test_what_failed_on_our_side_may_be_tried_again(api: Served) -> None:
    client = await api.client()
    working = api.world.driver.capabilities

    async def broken() -> object:
        raise ZeroDivisionError(WorkspaceId("x"))

    api.world.driver.capabilities = broken  # pyright: ignore[reportAttributeAccessIssue]
    assert (await client.post(W, json=BODY, headers=KEY)).status_code == 500
    api.world.driver.capabilities = working
    assert (await client.post(W, json=BODY, headers=KEY)).status_code == 201


async def test_a_key_is_free_again_after_a_day(api: Served) -> None:
    client = await api.client()
    await client.post(W, json=BODY, headers=KEY)
    api.world.clock.move(hours=24, seconds=1)
    await client.post(W, json=BODY, headers=KEY)
    assert await count(api) == 2


async def test_an_answer_with_a_secret_is_not_kept(api: Served) -> None:
    client = await api.client()
    made = await client.post("/api/v2/tokens", json={"name": "x"}, headers=KEY)
    again = await client.post("/api/v2/tokens", json={"name": "x"}, headers=KEY)
    assert made.status_code == 201
    assert again.status_code == 409
    async with api.core.db.scan() as connection:
        rows = (await connection.exec_driver_sql("SELECT * FROM idempotency_keys")).all()
    assert made.json()["token"] not in str(rows)


async def test_a_key_that_is_none_is_refused(api: Served) -> None:
    for key in ("", "a b", "x" * 129):
        headers = {"idempotency-key": key}
        answer = await (await api.client()).post(W, json=BODY, headers=headers)
        assert answer.status_code in {400, 422}
