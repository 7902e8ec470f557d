"""Processes in the background and watched files, with a real agent at the end."""

import json

import anyio
import pytest

from alcove.wire.execs import Frame
from tests.api.served import BOB
from tests.api.test_execs import Real, real
from tests.api.test_streams import parsed

__all__ = ["real"]
pytestmark = pytest.mark.root


async def _start(real: Real, command: str, **more: object) -> dict[str, object]:
    path = f"{real.path}/processes"
    answer = await real.http.post(path, json={"command": command, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def _look(real: Real, tag: str, **query: object) -> dict[str, object]:
    answer = await real.http.get(f"{real.path}/processes/{tag}", params=query)  # pyright: ignore[reportArgumentType]
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_what_was_started_is_found_again_with_its_output_and_its_end(real: Real) -> None:
    made = await _start(real, "echo one; read go; echo $go; exit 3", tag="build", stdin=True)
    assert made["tag"] == "build"
    with anyio.fail_after(20):
        seen = await _look(real, "build", after=0, wait="30s")
    assert (seen["output"], seen["state"], seen["end"]) == ("one\n", "running", 4)
    listed = (await real.http.get(f"{real.path}/processes")).json()["items"]
    assert [(p["tag"], p["pid"]) for p in listed] == [("build", made["pid"])]
    async with real.socket("/processes/build/attach") as socket:
        await socket.send(b"\x00two\n")
        with anyio.fail_after(20):
            frames = [await socket.recv(), await socket.recv()]
        assert [frame[0] for frame in frames] == [Frame.STARTED, Frame.EXIT]
    with anyio.fail_after(20):
        seen = await _look(real, "build", after=4, wait="30s")
    assert (seen["output"], seen["state"], seen["exit_code"]) == ("two\n", "exited", 3)


async def test_it_goes_on_when_nobody_is_attached_any_more(real: Real) -> None:
    await _start(real, "while read line; do echo got $line; done", tag="echo", stdin=True)
    for number in (1, 2):
        async with real.socket("/processes/echo/attach") as socket:
            await socket.send(b"\x00%d\n" % number)
            with anyio.fail_after(20):
                after = 0 if number == 1 else 6
                seen = await _look(real, "echo", after=after, wait="30s")
        assert seen["output"] == f"got {number}\n"
    assert seen["state"] == "running"


async def test_it_is_signalled_and_stopped(real: Real) -> None:
    await _start(real, "trap 'echo hup' HUP; echo ready; while :; do sleep 0.05; done", tag="a")
    with anyio.fail_after(30):
        await _look(real, "a", after=0, wait="30s")
        done = await real.http.post(f"{real.path}/processes/a/signal", json={"signal": "HUP"})
        assert done.status_code == 204, done.text
        output = ""
        while "hup\n" not in output:
            seen = await _look(real, "a", after=6 + len(output), wait="30s")
            output += str(seen["output"])
    assert (await real.http.delete(f"{real.path}/processes/a?grace=1s")).status_code == 204
    assert (await _look(real, "a"))["state"] in {"killed", "exited"}
    again = await _start(real, "sleep 60", tag="a")
    seen = await _look(real, "a")
    assert (seen["state"], seen["output"]) == ("running", ""), again
    assert (await real.http.delete(f"{real.path}/processes/a?grace=1s")).status_code == 204
    gone = await real.http.post(f"{real.path}/processes/a/signal", json={"signal": "HUP"})
    assert gone.status_code == 404


async def test_a_tag_is_taken_while_its_process_runs(real: Real) -> None:
    await _start(real, "sleep 60", tag="one")
    again = await real.http.post(f"{real.path}/processes", json={"command": "true", "tag": "one"})
    assert again.status_code == 409


async def test_nobody_elses_processes_are_seen(real: Real) -> None:
    await _start(real, "sleep 60", tag="mine")
    secret = await real.api.token(BOB)
    head = {"authorization": f"Bearer {secret.text}"}
    for path in ("", "/mine"):
        answer = await real.http.get(f"{real.path}/processes{path}", headers=head)
        assert answer.status_code == 404


async def test_changes_of_files_come_as_they_happen(real: Real) -> None:
    home = real.driver.home(real.workspace.id)
    (home / "sub").mkdir()
    head = {"accept": "text/event-stream"}
    seen: list[tuple[str, str]] = []
    with anyio.fail_after(20):
        path = f"{real.path}/files/watch?path=.&recursive=true"
        async with real.http.stream("GET", path, headers=head) as answer:
            assert answer.status_code == 200
            async for event in parsed(answer):
                if event.name == "ready":
                    (home / "sub" / "a.txt").write_text("x")
                elif event.name == "change":
                    said = json.loads(event.data)
                    seen.append((said["change"], said["path"]))
                    if said["change"] == "written":
                        break
    assert ("created", "sub/a.txt") in seen
    assert ("written", "sub/a.txt") in seen


@pytest.mark.parametrize(("path", "status"), [("nowhere", 404), ("file", 422)])
async def test_what_cannot_be_watched_is_refused(real: Real, path: str, status: int) -> None:
    (real.driver.home(real.workspace.id) / "file").write_text("x")
    answer = await real.http.get(f"{real.path}/files/watch?path={path}")
    assert answer.status_code == status, answer.text
