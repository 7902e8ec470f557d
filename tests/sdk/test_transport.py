"""What the client sends, and what it makes of the answers; the blocking one, from the source."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx
import pytest

from alcove.sdk import (
    Alcove,
    AlcoveError,
    AsyncAlcove,
    Conflict,
    Denied,
    Invalid,
    NotFound,
    QuotaExceeded,
    RateLimited,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from tests.sdk.answers import workspace_document

URL = "http://127.0.0.1:7080"
PROBLEM = {"type": "about:blank", "title": "T", "detail": "because"}


@dataclass
class Server:
    """Answers with what it was given, the last answer for ever, and keeps what it was asked."""

    answers: list[httpx.Response | Exception]
    requests: list[httpx.Request] = field(default_factory=list[httpx.Request])

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self, *, retries: int = 3) -> Alcove:
        return Alcove(URL, "secret", retries=retries, http=httpx.MockTransport(self))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr("alcove.sdk._sync.transport.sleep", pauses.append)
    monkeypatch.setattr("alcove.sdk._sync.events.sleep", pauses.append)
    monkeypatch.setattr("alcove.sdk._sync.workspace.sleep", pauses.append)
    return pauses


def ok(document: object, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=document)


def problem(status: int, code: str, **more: object) -> httpx.Response:
    return httpx.Response(status, json={**PROBLEM, "status": status, "code": code, **more})


def test_the_token_goes_into_the_header() -> None:
    server = Server([ok(workspace_document())])
    server.client().workspaces.get("api")
    assert server.requests[0].headers["authorization"] == "Bearer secret"


def test_a_name_cannot_leave_its_place_in_the_path() -> None:
    server = Server([ok(workspace_document())])
    server.client().workspaces.get("../users?x=1#f")
    assert server.requests[0].url.raw_path == b"/api/v2/workspaces/..%2Fusers%3Fx%3D1%23f"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "not_found", NotFound),
        (409, "conflict", Conflict),
        (403, "denied", Denied),
        (401, "unauthenticated", Unauthenticated),
        (422, "invalid", Invalid),
        (403, "quota_exceeded", QuotaExceeded),
        (422, "unsupported", Unsupported),
        (429, "rate_limited", RateLimited),
        (503, "unavailable", Unavailable),
        (500, "internal", AlcoveError),
        (403, "a_word_of_a_newer_server", Denied),
    ],
)
def test_a_problem_is_an_exception_of_its_code(
    status: int, code: str, kind: type[AlcoveError]
) -> None:
    with pytest.raises(kind, match="because") as caught:
        Server([problem(status, code)]).client(retries=0).workspaces.get("api")
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.code) == (status, code)


def test_a_refusal_names_the_fields() -> None:
    refusal = problem(422, "invalid", errors=[{"field": "parameters.cpu", "message": "too much"}])
    with pytest.raises(Invalid) as caught:
        Server([refusal]).client().workspaces.get("api")
    assert [(e.field, e.message) for e in caught.value.errors] == [("parameters.cpu", "too much")]


def test_an_answer_of_a_proxy_is_an_error_too() -> None:
    page = httpx.Response(502, content=b"<html>Bad Gateway</html>")
    with pytest.raises(Unavailable, match="answered 502"):
        Server([page]).client(retries=0).workspaces.get("api")


def test_an_answer_that_is_no_workspace_is_an_error_not_a_crash() -> None:
    with pytest.raises(AlcoveError, match="not what this client expects"):
        Server([httpx.Response(200, content=b"<html>")]).client().workspaces.get("api")


def test_a_newer_server_may_say_more() -> None:
    document = workspace_document(colour="blue", usage=None)
    assert Server([ok(document)]).client().workspaces.get("api").name == "api"


def test_creating_again_after_a_lost_answer_uses_the_same_key() -> None:
    server = Server([httpx.ReadError("reset"), ok(workspace_document(), 201)])
    server.client().workspaces.create("python", wait=False)
    first, second = (r.headers["idempotency-key"] for r in server.requests)
    assert first == second
    assert len(first) >= 16


def test_two_creates_have_two_keys() -> None:
    server = Server([ok(workspace_document(), 201)])
    client = server.client()
    client.workspaces.create("python", wait=False)
    client.workspaces.create("python", wait=False)
    assert len({r.headers["idempotency-key"] for r in server.requests}) == 2


def test_a_command_is_not_sent_twice() -> None:
    server = Server([ok(workspace_document()), httpx.ReadError("reset")])
    workspace = server.client().workspaces.get("api")
    with pytest.raises(Unavailable, match="lost the connection"):
        workspace.exec(["make", "release"])
    assert len(server.requests) == 2


def test_the_server_s_pause_is_kept(no_pauses: list[float]) -> None:
    busy = httpx.Response(429, json=PROBLEM, headers={"Retry-After": "7"})
    Server([busy, ok(workspace_document())]).client().workspaces.get("api")
    assert no_pauses == [7.0]


def test_a_list_goes_on_to_the_next_page() -> None:
    def page(name: str, cursor: str | None) -> httpx.Response:
        return ok({"items": [workspace_document(name=name)], "next_cursor": cursor})

    server = Server([page("a", "c1"), page("b", None)])
    assert [w.name for w in server.client().workspaces.list(owner="ada")] == ["a", "b"]
    params = dict(server.requests[1].url.params)
    assert (params["owner"], params["cursor"]) == ("ada", "c1")


def test_a_password_is_sent_as_it_is() -> None:
    server = Server([httpx.Response(204)])
    server.client().users.set_password("ada", "correct horse battery")
    assert json.loads(server.requests[0].content) == {"new": "correct horse battery"}


def test_a_mistake_is_found_before_the_round_trip() -> None:
    server = Server([ok(workspace_document())])
    with pytest.raises(Invalid) as caught:
        server.client().workspaces.create("python", ttl="soon", labels={"": "x"})
    assert "ttl" in [e.field for e in caught.value.errors]
    assert not server.requests


def test_a_workspace_that_was_created_is_deleted_at_the_end() -> None:
    server = Server([ok(workspace_document(), 201)])
    with server.client().workspaces.create("python", wait=False):
        pass
    assert [r.method for r in server.requests] == ["POST", "DELETE"]


def test_a_workspace_that_was_there_is_not_deleted() -> None:
    server = Server([ok(workspace_document())])
    with server.client().workspaces.get("api"):
        pass
    assert [r.method for r in server.requests] == ["GET"]


def test_taking_the_time_to_live_away_sends_null() -> None:
    from alcove.sdk import NEVER  # noqa: PLC0415

    server = Server([ok(workspace_document())])
    server.client().workspaces.get("api").update(ttl=NEVER)
    assert json.loads(server.requests[1].content) == {"ttl": None}


def sse(*events: str) -> httpx.Response:
    return httpx.Response(200, content="".join(events).encode())


def event(seq: int) -> str:
    document: dict[str, object] = {
        "seq": seq,
        "at": "2026-01-01T00:00:00Z",
        "type": "workspace.created",
        "actor": "ada",
        "actor_id": "u1",
        "subject": "ws-1",
        "owner": "ada",
        "detail": {},
        "address": "",
        "request_id": "",
    }
    return f"id: {seq}\nevent: workspace.created\ndata: {json.dumps(document)}\n\n"


def take(count: int, events: Iterator[object]) -> list[object]:
    return [next(events) for _ in range(count)]


def test_following_goes_on_where_it_broke_off() -> None:
    server = Server([sse(event(4), event(5)), httpx.ReadError("reset"), sse(event(6))])
    found = take(3, server.client().events.follow(after=3))
    assert [getattr(e, "seq", None) for e in found] == [4, 5, 6]
    assert server.requests[0].url.params["after"] == "3"
    assert server.requests[2].headers["last-event-id"] == "5"
    assert "after" not in server.requests[2].url.params


def test_following_ends_when_the_server_refuses() -> None:
    server = Server([sse(event(1)), problem(401, "unauthenticated")])
    with pytest.raises(Unauthenticated):
        take(2, server.client().events.follow(after=0))


def test_following_gives_up_after_many_failures() -> None:
    with pytest.raises(Unavailable):
        take(1, Server([sse()]).client().events.follow(after=0))


def test_streamed_output_is_handed_over_and_kept() -> None:
    stream = sse(
        'event: stdout\ndata: {"data": "Z3LD", "encoding": "base64"}\n\n',
        'event: stdout\ndata: {"data": "vMOfZQ==", "encoding": "base64"}\n\n',
        'event: stderr\ndata: {"data": "oh"}\n\n',
        'event: exit\ndata: {"exit_code": 3, "duration_ms": 1.5}\n\n',
    )
    said: list[str] = []
    workspace = Server([ok(workspace_document()), stream]).client().workspaces.get("api")
    result = workspace.exec("x", on_stdout=said.append)
    assert "".join(said) == result.stdout == "grüße"
    assert (result.exit_code, result.stderr) == (3, "oh")


def test_a_stream_that_ends_without_an_exit_is_an_error() -> None:
    stream = sse('event: stdout\ndata: {"data": "half"}\n\n')
    workspace = Server([ok(workspace_document()), stream]).client().workspaces.get("api")
    with pytest.raises(Unavailable, match="before the command had ended"):
        workspace.exec("x", on_stdout=print)


@pytest.mark.anyio
async def test_the_asynchronous_client_does_the_same() -> None:
    answer: Callable[[httpx.Request], httpx.Response] = Server([ok(workspace_document(), 201)])
    async with (
        AsyncAlcove(URL, "secret", http=httpx.MockTransport(answer)) as client,
        await client.workspaces.create("python", wait=False) as workspace,
    ):
        assert workspace.phase == "running"
