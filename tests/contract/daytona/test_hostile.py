"""What no client of theirs sends: wrong tokens, what is another's, broken forms, odd paths."""

import json
import urllib.parse
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from alcove.core import file_links
from alcove.model.access import Permission
from tests.api.served import ADA
from tests.contract.daytona.conftest import Place

API = "/daytona/api"
BOUNDARY = "b0undary"
FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}


async def made(client: httpx.AsyncClient) -> str:
    answer = await client.post(f"{API}/sandbox", json={})
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


def part(name: str, data: bytes, filename: str | None = None) -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"{file}\r\n\r\n'
    return head.encode() + data + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()
CALLS: tuple[tuple[str, str, Any], ...] = (
    ("GET", "{api}/sandbox/{id}", None),
    ("DELETE", "{api}/sandbox/{id}", None),
    ("POST", "{api}/sandbox/{id}/start", None),
    ("POST", "{api}/sandbox/{id}/stop", None),
    ("POST", "{api}/sandbox/{id}/pause", None),
    ("POST", "{api}/sandbox/{id}/fork", {}),
    ("POST", "{api}/sandbox/{id}/snapshot", {"name": "mine"}),
    ("POST", "{api}/sandbox/{id}/resize", {"cpu": 1}),
    ("POST", "{api}/sandbox/{id}/autostop/5", None),
    ("PUT", "{api}/sandbox/{id}/labels", {"labels": {}}),
    ("POST", "{api}/sandbox/{id}/last-activity", None),
    ("GET", "{api}/sandbox/{id}/ports/80/preview-url", None),
    ("GET", "{api}/sandbox/{id}/ports/80/signed-preview-url", None),
    ("GET", "{api}/sandbox/{id}/signing-key", None),
    ("GET", "{box}/{id}/user-home-dir", None),
    ("GET", "{box}/{id}/port", None),
    ("GET", "{box}/{id}/system/metrics", None),
    ("POST", "{box}/{id}/process/execute", {"command": "true"}),
    ("POST", "{box}/{id}/process/code-run", {"code": "1", "language": "python"}),
    ("POST", "{box}/{id}/process/session", {"sessionId": "s"}),
    ("GET", "{box}/{id}/process/session", None),
    ("DELETE", "{box}/{id}/process/session/s", None),
    ("POST", "{box}/{id}/process/session/s/exec", {"command": "true"}),
    ("POST", "{box}/{id}/process/pty", {"id": "p"}),
    ("GET", "{box}/{id}/process/pty", None),
    ("DELETE", "{box}/{id}/process/pty/p", None),
    ("GET", "{box}/{id}/files?path=/", None),
    ("GET", "{box}/{id}/files/download?path=/etc/passwd", None),
    ("DELETE", "{box}/{id}/files?path=/x", None),
    ("POST", "{box}/{id}/files/bulk-download", {"paths": ["/etc/passwd"]}),
    ("GET", "{box}/{id}/files/find?path=/&pattern=x", None),
    ("POST", "{box}/{id}/files/replace", {"files": [], "pattern": "a", "newValue": "b"}),
    ("POST", "{box}/{id}/git/init", {"path": "r"}),
    ("GET", "{box}/{id}/git/status?path=r", None),
)


def target(path: str, id: str) -> str:
    return path.format(api=API, box="/daytona/toolbox", id=id)


async def test_what_is_anothers_is_not_there(place: Place) -> None:
    async with place.http() as own, place.http(place.foreign) as stranger:
        id = await made(own)
        for method, path, body in CALLS:
            if path.endswith("/replace"):
                body = {**body, "files": ["/etc/passwd"]}
            answer = await stranger.request(method, target(path, id), json=body)
            if answer.status_code == 200 and isinstance(answer.json(), list):
                # Each file has its own result, and each says that there is no such sandbox.
                assert all(not one["success"] for one in answer.json()), (path, answer.text)
                continue
            assert answer.status_code == 404, (method, path, answer.text)
            assert "root:" not in answer.text
        assert (await stranger.get(f"{API}/sandbox")).json()["items"] == []
        assert (await own.get(f"{API}/sandbox/{id}")).json()["state"] == "started"


@pytest.mark.parametrize("token", ["-", "x", "alc_" + "a" * 60, "a" * 5000])
async def test_a_wrong_token_is_refused_everywhere(place: Place, token: str) -> None:
    async with place.http(token) as nobody:
        for method, path, body in CALLS:
            answer = await nobody.request(method, target(path, "ws-aaaaaaaaaaaaaaaa"), json=body)
            assert answer.status_code == 401, (method, path, answer.text)
            assert answer.json()["statusCode"] == 401


async def test_a_terminal_of_another_is_refused_before_the_upgrade(place: Place) -> None:
    async with place.http() as own:
        id = await made(own)
    head = {"authorization": f"Bearer {place.foreign}"}
    base = place.url.replace("http", "ws") + f"/daytona/toolbox/{id}/process"
    for path in ("/pty/create-connect?id=x", "/pty/x/connect", "/session/s/command/c/logs"):
        with pytest.raises(InvalidStatus) as refused:
            async with connect(base + path, additional_headers=head):
                pass
        assert refused.value.response.status_code == 404


async def test_a_token_without_the_scope_runs_nothing(place: Place) -> None:
    secret = await place.api.token(ADA, scopes=[Permission.WORKSPACE_READ])
    async with place.http() as own, place.http(secret.text) as reader:
        id = await made(own)
        box = f"/daytona/toolbox/{id}"
        answer = await reader.post(f"{box}/process/execute", json={"command": "id"})
        assert answer.status_code == 403
        shown = (await reader.get(f"{API}/sandbox/{id}")).json()
        assert shown["env"] == {}, "who may not enter does not read the environment"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"junk",
        END,
        part("files[0].path", b"/x"),
        part("files[0].file", b"data", "x")[:-10],
        part("files[0].path", b"\xff\xfe") + END,
        part("files[0].path", b"p" * 70_000) + part("files[0].file", b"d", "x") + END,
        part("files[0].path", b"a\0b") + part("files[0].file", b"d", "x") + END,
        b"".join(part(f"f{n}", b"v") for n in range(2100)) + END,
        part("x" * 20_000, b"v") + END,
    ],
)
async def test_a_broken_form_is_refused_and_the_server_goes_on(place: Place, body: bytes) -> None:
    async with place.http() as own:
        id = await made(own)
        url = f"/daytona/toolbox/{id}/files/bulk-upload"
        answer = await own.post(url, content=body, headers=FORM)
        assert answer.status_code in {400, 413}, answer.text
        good = part("files[0].path", b"ok") + part("files[0].file", b"d", "x") + END
        assert (await own.post(url, content=good, headers=FORM)).status_code == 200


async def test_a_form_that_breaks_off_leaves_no_half_file(place: Place) -> None:
    async with place.http() as own:
        id = await made(own)
        box = f"/daytona/toolbox/{id}/files"
        whole = part("files[0].path", b"half") + part("files[0].file", b"d" * 100_000, "x")
        answer = await own.post(f"{box}/bulk-upload", content=whole[:60_000], headers=FORM)
        assert answer.status_code == 400
        assert (await own.get(f"{box}/info", params={"path": "half"})).status_code == 404


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 5000])
async def test_a_path_that_is_none_is_refused(place: Place, path: str) -> None:
    async with place.http() as own:
        id = await made(own)
        for what in ("download", "info"):
            query = urllib.parse.urlencode({"path": path})
            answer = await own.get(f"/daytona/toolbox/{id}/files/{what}?{query}")
            assert answer.status_code in {400, 404, 422}, answer.text


async def test_no_name_reaches_out_of_its_place(place: Place) -> None:
    async with place.http() as own:
        id = await made(own)
        box = f"/daytona/toolbox/{id}"
        for name in ("../x", "..", "a/b", "-rf", "x" * 65, "a;id", "$(id)"):
            answer = await own.post(f"{box}/process/session", json={"sessionId": name})
            assert answer.status_code == 400, (name, answer.text)
        for words in ({"path": "-q"}, {"path": "--upload-pack=id", "url": "--upload-pack=id"}):
            answer = await own.post(f"{box}/git/clone", json={"url": "--config=x", **words})
            assert answer.status_code in {400, 404, 502}, answer.text
        wrong = {"path": "r", "branch": "--orphan=x"}
        assert (await own.post(f"{box}/git/checkout", json=wrong)).status_code == 400


async def test_only_what_was_signed_opens(place: Place) -> None:
    async with place.http() as own:
        id = await made(own)
        other = await made(own)
        box = "/daytona/toolbox"
        key = (await own.get(f"{API}/sandbox/{id}/signing-key")).json()
        await own.post(f"{box}/{id}/files/upload", params={"path": "f"}, content=b"x")
        good = file_links.signature(key, method="GET", path="f", expires="0")
        old = file_links.signature(key, method="GET", path="f", expires="1000")
    async with httpx.AsyncClient(base_url=place.url) as nobody:

        async def status(sandbox: str, **query: str) -> int:
            return (await nobody.get(f"{box}/{sandbox}/files/download", params=query)).status_code

        assert await status(id, path="f", expires="0", signature=good) == 200
        assert await status(other, path="f", expires="0", signature=good) == 401
        assert await status(id, path="g", expires="0", signature=good) == 401
        assert await status(id, path="f", expires="9999999999", signature=good) == 401
        assert await status(id, path="f", expires="1000", signature=old) == 401
        assert await status(id, path="f", expires="", signature="é") == 401
        upload = await nobody.post(
            f"{box}/{id}/files/upload-v2",
            params={"path": "f", "expires": "0", "signature": good},
            content=b"y",
        )
        assert upload.status_code == 401, "what opens for reading does not for writing"


async def test_credentials_are_in_no_argument_event_or_file(place: Place) -> None:
    async with place.http() as own:
        id = await made(own)
        box = f"/daytona/toolbox/{id}"
        asked = {"url": "http://127.0.0.1:9/x.git", "path": "r", "username": "u"}
        answer = await own.post(f"{box}/git/clone", json={**asked, "password": "s3cr3t-word"})
        assert answer.status_code == 502, answer.text
        assert "s3cr3t-word" not in answer.text
        found = await own.get(f"{box}/files/find", params={"path": ".", "pattern": "s3cr3t"})
        assert found.json() == []
    await place.api.core.journal.close(place.api.core)
    told = json.dumps([dict(e.detail) for e in await place.api.world.events(id)], default=str)
    assert "clone" in told
    assert "s3cr3t-word" not in told


async def test_an_unknown_field_of_a_creation_is_named(place: Place) -> None:
    async with place.http() as own:
        answer = await own.post(f"{API}/sandbox", json={"teleport": True})
        assert answer.status_code == 400
        assert "teleport" in answer.json()["message"]
        assert (await own.get(f"{API}/nothing/here")).status_code == 404
        assert (await own.get(f"{API}/volumes")).json()["code"] == "unsupported"
