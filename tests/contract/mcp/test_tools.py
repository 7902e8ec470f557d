"""Each tool over HTTP, against a real agent, as a client of the protocol sees it."""

import base64
import re

import anyio
import pytest

from alcove.model.workspace import Phase
from alcove.store import workspaces
from tests.api.served import ADA
from tests.contract.mcp.conftest import MODES, Place, text_of

pytestmark = pytest.mark.root


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_of_either_era_lists_the_tools_and_runs_a_command(
    place: Place, mode: str
) -> None:
    async with place.client(mode=mode) as client:
        tools = (await client.list_tools()).tools
        asked = {"sandbox": "box", "command": "echo out; echo err >&2; exit 3"}
        result = await client.call_tool("run_command", asked)
    assert {"create_sandbox", "run_command", "edit_file"} <= {tool.name for tool in tools}
    assert not result.is_error
    assert result.structured_content["stdout"] == "out\n"
    assert result.structured_content["stderr"] == "err\n"
    assert result.structured_content["exit_code"] == 3
    assert "exit code 3" in text_of(result)


async def test_every_tool_is_described_and_takes_nothing_unbounded(place: Place) -> None:
    async with place.client() as client:
        tools = (await client.list_tools()).tools
    for tool in tools:
        assert len(tool.description or "") > 40, tool.name
        assert tool.input_schema["additionalProperties"] is False, tool.name
        assert tool.output_schema is not None, tool.name
        for name, field in tool.input_schema["properties"].items():
            for kind in field.get("anyOf", [field]):
                if kind.get("type") == "string":
                    bounded = "maxLength" in kind or "enum" in kind or "pattern" in kind
                    assert bounded, f"{tool.name}.{name}"
                if kind.get("type") == "integer":
                    assert "maximum" in kind or name == "after", f"{tool.name}.{name}"


async def test_a_sandbox_is_made_found_and_deleted(place: Place, reconciled: None) -> None:
    asked = {"template": "plain", "labels": {"job": "1"}, "ttl": "1h", "env": {"GREETING": "hi"}}
    steps: list[str] = []

    async def step(progress: float, total: float | None, message: str | None) -> None:
        steps.append(message or "")

    async with place.client() as client:
        made = await client.call_tool("create_sandbox", asked, progress_callback=step)
        assert made.structured_content["phase"] == "running", text_of(made)
        assert made.structured_content["expires_at"] is not None
        id = made.structured_content["id"]
        found = await client.call_tool("list_sandboxes", {"labels": {"job": "1"}})
        assert [item["id"] for item in found.structured_content["items"]] == [id]
        ran = await client.call_tool("run_command", {"sandbox": id, "command": "echo $GREETING"})
        assert ran.structured_content["stdout"] == "hi\n"
        gone = await client.call_tool("delete_sandbox", {"sandbox": id})
        assert gone.structured_content["phase"] in {"deleting", "deleted", "running"}
    assert any("provisioning" in said for said in steps)
    with anyio.fail_after(10):
        while True:
            async with place.api.core.db.read() as tx:
                row = await workspaces.get(tx, id)
            if row is None or row.phase is Phase.DELETED:
                break
            await anyio.sleep(0.05)


async def test_a_sandbox_pauses_and_resumes(place: Place, reconciled: None) -> None:
    assert (await place.answer("pause_sandbox"))["phase"] == "paused"
    assert (await place.answer("resume_sandbox"))["phase"] == "running"


async def test_templates_are_listed_with_their_parameters(place: Place) -> None:
    async with place.client() as client:
        found = await client.call_tool("list_templates", {})
    names = [item["name"] for item in found.structured_content["items"]]
    assert "plain" in names
    assert "plain" in text_of(found)


async def test_a_command_has_directory_environment_and_input(place: Place) -> None:
    found = await place.answer(
        "run_command", command="pwd; cat; echo $A", cwd="/tmp", env={"A": "b"}, stdin="in\n"
    )
    assert found["stdout"] == "/tmp\nin\nb\n"


async def test_a_command_over_its_time_is_killed_and_said_so(place: Place) -> None:
    result = await place.call("run_command", command="sleep 60", timeout_s=1)
    assert result.structured_content["timed_out"] is True
    assert "start_background" in text_of(result)


async def test_long_output_keeps_beginning_and_end_and_says_how_to_see_the_rest(
    place: Place,
) -> None:
    result = await place.call("run_command", command="echo first; seq 200000; echo last")
    found = result.structured_content
    assert found["stdout"].startswith("first\n1\n")
    assert found["stdout"].endswith("200000\nlast\n")
    assert found["truncated"] is True
    assert len(found["stdout"]) < 21_000
    assert found["stdout_bytes"] > 1_000_000
    left_out = re.search(r"\[… (\d+) bytes left out …\]", found["stdout"])
    assert left_out is not None
    assert int(left_out[1]) + 20_000 == found["stdout_bytes"]
    assert "read_file" in text_of(result)


async def test_a_long_command_tells_of_its_progress(place: Place) -> None:
    said: list[str] = []

    async def step(progress: float, total: float | None, message: str | None) -> None:
        said.append(message or "")

    line = "for i in 1 2 3 4 5 6 7 8; do echo step $i; sleep 0.5; done"
    async with place.client() as client:
        asked = {"sandbox": "box", "command": line}
        await client.call_tool("run_command", asked, progress_callback=step)
    assert any(text.startswith("step ") for text in said)


async def test_a_background_command_is_started_read_on_and_stopped(place: Place) -> None:
    line = "echo ready; trap 'echo bye; exit 7' TERM; while :; do sleep 0.1; done"
    started = await place.answer("start_background", command=line, tag="server")
    assert started["tag"] == "server"
    first = await place.answer("read_background_logs", tag="server", after=0, wait_s=5)
    assert (first["state"], first["output"]) == ("running", "ready\n")
    running = await place.answer("list_background")
    assert [(item["tag"], item["command"]) for item in running["items"]] == [("server", line)]
    stopped = await place.answer("stop_background", tag="server")
    assert (stopped["state"], stopped["exit_code"]) == ("exited", 7)
    rest = await place.answer("read_background_logs", tag="server", after=first["next"])
    assert rest["output"].endswith("bye\n")
    assert (await place.answer("list_background"))["items"] == []


async def test_a_background_command_s_end_is_told_afterwards(place: Place) -> None:
    await place.answer("start_background", command="echo no such config >&2; exit 2", tag="b")
    with anyio.fail_after(10):
        while True:
            found = await place.answer("read_background_logs", tag="b", wait_s=1)
            if found["state"] == "exited":
                break
    assert (found["exit_code"], found["output"]) == (2, "no such config\n")


async def test_a_background_command_that_will_not_end_is_killed_with_its_children(
    place: Place,
) -> None:
    line = "trap '' TERM; sleep 987654 & while :; do sleep 0.2; done"
    await place.answer("start_background", command=line, tag="stubborn")
    stopped = await place.answer("stop_background", tag="stubborn", grace_s=0)
    assert stopped["state"] == "killed"
    left = await place.answer("run_command", command="pgrep -f 'sleep 98765[4]' || echo none")
    assert left["stdout"] == "none\n"


async def test_a_background_tag_is_taken_while_it_runs(place: Place) -> None:
    await place.answer("start_background", command="sleep 60", tag="one")
    assert "conflict" in await place.error("start_background", command="true", tag="one")
    await place.answer("stop_background", tag="one")
    assert "never" in (await place.error("read_background_logs", tag="never"))


async def test_a_file_is_written_read_by_lines_and_edited(place: Place) -> None:
    text = "".join(f"line {n}\n" for n in range(1, 1201))
    await place.answer("write_file", path="notes/a.txt", text=text)
    assert (place.home / "notes/a.txt").read_text() == text
    first = await place.answer("read_file", path="notes/a.txt")
    assert (first["first_line"], first["last_line"], first["truncated"]) == (1, 500, True)
    assert first["total_lines"] is None
    middle = await place.answer("read_file", path="notes/a.txt", first_line=600, lines=2)
    assert middle["text"] == "line 600\nline 601"
    last = await place.answer("read_file", path=f"{place.home}/notes/a.txt", first_line=1199)
    assert last["text"] == "line 1199\nline 1200"
    assert (last["total_lines"], last["truncated"]) == (1200, False)
    edited = await place.answer(
        "edit_file", path="notes/a.txt", old_text="line 700\n", new_text="changed\n"
    )
    assert edited["first_line"] == 700
    assert (place.home / "notes/a.txt").read_text() == text.replace("line 700\n", "changed\n")


async def test_an_edit_that_is_not_unique_says_how_many_matches_and_where(place: Place) -> None:
    await place.answer("write_file", path="a.py", text="x = 1\ny = 2\nx = 1\n")
    said = await place.error("edit_file", path="a.py", old_text="x = 1", new_text="x = 3")
    assert "2 matches in a.py, on lines 1, 3" in said
    assert (place.home / "a.py").read_text() == "x = 1\ny = 2\nx = 1\n"
    all_ = await place.answer(
        "edit_file", path="a.py", old_text="x = 1", new_text="x = 3", replace_all=True
    )
    assert all_["replaced"] == 2


async def test_an_edit_of_what_is_not_there_says_so(place: Place) -> None:
    await place.answer("write_file", path="a.py", text="def f():\n    return 1\n")
    said = await place.error("edit_file", path="a.py", old_text="def f(): return 1", new_text="")
    assert "0 matches" in said
    assert "white space" in said


async def test_an_edit_keeps_line_ends_and_mode(place: Place) -> None:
    file = place.home / "run.sh"
    file.write_bytes(b"#!/bin/sh\r\necho one\r\n")
    file.chmod(0o755)
    await place.answer("edit_file", path="run.sh", old_text="echo one", new_text="echo two")
    assert file.read_bytes() == b"#!/bin/sh\r\necho two\r\n"
    assert file.stat().st_mode & 0o777 == 0o755


async def test_bytes_go_in_and_come_out(place: Place) -> None:
    data = bytes(range(256)) * 5000
    sent = base64.b64encode(data).decode()
    assert (await place.answer("upload_file", path="b.bin", content_base64=sent))["size"] == len(
        data
    )
    assert (place.home / "b.bin").read_bytes() == data
    first = await place.answer("download_file", path="b.bin")
    rest = await place.answer("download_file", path="b.bin", offset=first["next"])
    assert base64.b64decode(first["content_base64"]) + base64.b64decode(
        rest["content_base64"]
    ) == data  # fmt: skip
    assert "UTF-8" in await place.error("edit_file", path="b.bin", old_text="a", new_text="b")


async def test_files_are_listed_and_searched(place: Place) -> None:
    for name, text in (("src/a.py", "def find():\n    pass\n"), ("src/b.txt", "find me\n")):
        await place.answer("write_file", path=name, text=text)
    listed = await place.answer("list_files", path="src")
    assert {item["path"].rpartition("/")[2] for item in listed["items"]} == {"a.py", "b.txt"}
    src = f"{place.home}/src"
    found = await place.answer("search_files", pattern=r"find\b", path=src)
    assert [(m["path"], m["line"]) for m in found["items"]] == [
        ("a.py", 1),
        ("b.txt", 1),
    ]
    only = await place.answer("search_files", pattern="find(", fixed=True, path=src, glob="*.py")
    assert [match["text"] for match in only["items"]] == ["def find():"]
    none = await place.call("search_files", pattern="nowhere", path=src)
    assert none.structured_content["items"] == []
    assert "the search failed" in await place.error("search_files", pattern="(", path=src)


async def test_a_search_is_bounded_and_says_so(place: Place) -> None:
    await place.answer("write_file", path="many.txt", text="hit\n" * 1000)
    result = await place.call("search_files", pattern="hit", path=f"{place.home}", limit=10)
    assert len(result.structured_content["items"]) == 10
    assert "there is more" in text_of(result)


async def test_what_is_done_is_told_of_with_its_actor(place: Place) -> None:
    await place.answer("run_command", command="echo audited")
    await place.answer("start_background", command="sleep 1", tag="told")
    await place.answer("write_file", path="x", text="y")
    await place.api.core.journal.flush(place.api.core)
    http = await place.api.client(ADA)
    events = (await http.get("/api/v2/events", params={"limit": 500})).json()["items"]
    told = [(e["type"], e["detail"].get("command")) for e in events if e["actor"] == "ada"]
    assert ("exec.finished", ["echo audited"]) in told
    assert ("exec.started", ["sleep 1"]) in told
    assert any(kind == "file.written" for kind, _ in told)


async def test_a_port_gets_a_link_and_says_whether_anybody_listens(place: Place) -> None:
    result = await place.call("expose_port", port=1)
    found = result.structured_content
    assert found["url"].startswith("http://1--box--ada.apps.")
    assert found["listening"] is False
    assert "Nothing listens on port 1 yet" in text_of(result)
    # It is taken from this machine, since the agent here shares its network.
    port = int(place.url.rpartition(":")[2])
    assert (await place.answer("expose_port", port=port))["listening"] is True
