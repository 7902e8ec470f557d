"""The client against a whole server, whose workspaces are real agents."""

import os
from pathlib import Path

import pytest

from alcove.sdk import (
    Alcove,
    AsyncAlcove,
    CommandFailed,
    Conflict,
    NotFound,
    Stream,
    Terminal,
    Unavailable,
    Workspace,
)
from tests.sdk.served import Served

pytestmark = pytest.mark.root


def test_a_command_gives_its_output_and_code(workspace: Workspace) -> None:
    result = workspace.exec(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (result.stdout, result.stderr, result.exit_code) == ("out\n", "err\n", 3)
    assert not result.ok


def test_a_text_is_a_line_for_the_shell(workspace: Workspace) -> None:
    assert workspace.exec("echo $((6 * 7)) | cat").stdout == "42\n"


def test_bytes_go_in_and_out_unchanged(workspace: Workspace) -> None:
    data = bytes(range(256)) * 100
    assert workspace.exec(["cat"], stdin=data).stdout_bytes == data


def test_environment_and_directory_are_the_command_s(workspace: Workspace) -> None:
    result = workspace.exec("echo $A; pwd", env={"A": "b"}, cwd="/tmp")
    assert result.stdout == "b\n/tmp\n"


def test_a_command_that_takes_too_long_is_killed(workspace: Workspace) -> None:
    result = workspace.exec(["sleep", "60"], timeout="1s")
    assert not result.ok
    assert result.signal == "KILL"


def test_a_failed_command_raises_when_asked_to(workspace: Workspace) -> None:
    with pytest.raises(CommandFailed, match="exited with 1: no way") as caught:
        workspace.exec("echo no way >&2; exit 1", check=True)
    assert caught.value.result.exit_code == 1


def test_output_is_handed_over_as_it_comes(workspace: Workspace, tmp_path: Path) -> None:
    heard: list[str] = []

    def hear(text: str) -> None:
        heard.append(text)
        if text == "first\n":
            workspace.files.write("go", "")

    command = "echo first; while [ ! -e go ]; do sleep 0.05; done; rm go; echo second"
    result = workspace.exec(command, on_stdout=hear, timeout="30s")
    assert (heard, result.stdout) == (["first\n", "second\n"], "first\nsecond\n")


def test_a_process_is_spoken_with(workspace: Workspace) -> None:
    with workspace.process(["cat"]) as process:
        process.write(b"hello")
        output = next(iter(process))
        process.close_stdin()
        ended = process.wait()
    assert (output.stream, output.data, ended.exit_code) == (Stream.STDOUT, b"hello", 0)


def test_a_process_is_signalled(workspace: Workspace) -> None:
    with workspace.process("trap 'exit 9' INT; echo ready; while :; do sleep 0.05; done") as it:
        assert next(iter(it)).data == b"ready\n"
        it.signal("INT")
        assert it.wait().exit_code == 9


def test_a_process_has_a_terminal(workspace: Workspace) -> None:
    size = Terminal(columns=101, rows=33)
    with workspace.process("stty size; tty >/dev/null && echo yes", terminal=size) as process:
        said = b"".join(output.data for output in process)
    assert said.split() == [b"33", b"101", b"yes"]


def test_a_large_input_is_carried_whole(workspace: Workspace) -> None:
    with workspace.process(["wc", "-c"]) as process:
        process.write(b"x" * 5_000_000)
        process.close_stdin()
        said = b"".join(output.data for output in process)
    assert said.strip() == b"5000000"


def test_leaving_a_process_ends_it(workspace: Workspace) -> None:
    with workspace.process("echo $$; exec sleep 1000") as process:
        pid = int(next(iter(process)).data)
    gone = f"for i in $(seq 100); do kill -0 {pid} 2>/dev/null || exit 0; sleep 0.05; done; exit 1"
    assert workspace.exec(gone).ok


def test_a_command_that_is_not_there_says_so(workspace: Workspace) -> None:
    with workspace.process(["no-such-command"]) as process:
        ended = process.wait()
    assert ended.exit_code == 127
    assert "no-such-command" in (ended.error or "")


@pytest.mark.parametrize("data", [b"", b"text", os.urandom(300_000)])
def test_a_file_is_written_and_read(workspace: Workspace, data: bytes) -> None:
    workspace.files.write("deep/er/file", data)
    assert workspace.files.read("deep/er/file") == data


def test_a_part_of_a_file_is_read(workspace: Workspace) -> None:
    workspace.files.write("part", "0123456789")
    with workspace.files.open("part", first_byte=7) as body:
        assert b"".join(body) == b"789"


def test_files_are_listed_and_removed(workspace: Workspace) -> None:
    workspace.files.write("listed/a", "1")
    workspace.files.write("listed/b", "22")
    entries = {e.name: (e.type, e.size) for e in workspace.files.list("listed")}
    assert entries == {"a": ("file", 1), "b": ("file", 2)}
    workspace.files.remove("listed")
    with pytest.raises(NotFound):
        workspace.files.read("listed/a")


def test_a_directory_is_told_from_a_file(workspace: Workspace) -> None:
    workspace.files.write("kind/file", "")
    assert workspace.files.is_directory("kind")
    assert not workspace.files.is_directory("kind/file")
    with pytest.raises(NotFound):
        workspace.files.is_directory("kind/nothing")


def test_a_directory_goes_there_and_back(workspace: Workspace, tmp_path: Path) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    (there / "sub").mkdir(parents=True)
    (there / "sub/run.sh").write_text("#!/bin/sh\necho ran\n")
    (there / "sub/run.sh").chmod(0o755)
    (there / "big").write_bytes(os.urandom(2_000_000))
    (there / "link").symlink_to("sub/run.sh")
    sent = workspace.files.upload_directory(there, "tree")
    assert workspace.exec(["tree/link"]).stdout == "ran\n"
    fetched = workspace.files.download_directory("tree", back)
    assert (sent.files, fetched.files) == (2, 2)
    assert (back / "big").read_bytes() == (there / "big").read_bytes()
    assert (back / "link").readlink() == Path("sub/run.sh")
    assert (back / "sub/run.sh").stat().st_mode & 0o111


def test_a_download_that_fails_leaves_nothing_behind(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        workspace.files.download("not/there", tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_a_workspace_is_gone_after_its_block(client: Alcove) -> None:
    with client.workspaces.create("plain", labels={"for": "test"}) as made:
        found = [w.id for w in client.workspaces.list(labels={"for": "test"})]
        assert found == [made.id]
    made.wait("deleted")
    assert list(client.workspaces.list(labels={"for": "test"})) == []


def test_deleting_again_is_fine(client: Alcove) -> None:
    made = client.workspaces.create("plain")
    made.delete(wait=True)
    made.delete(wait=True)


def test_a_workspace_is_stopped_and_started(client: Alcove) -> None:
    with client.workspaces.create("plain") as made:
        assert made.stop().phase == "stopped"
        with pytest.raises(Conflict):
            made.exec(["true"])
        assert made.start().phase == "running"


def test_a_change_is_answered(client: Alcove) -> None:
    with client.workspaces.create("plain", ttl="4h") as made:
        made.update(name="renamed", labels={"a": "b"}, ttl="8h")
        assert (made.name, made.info.labels) == ("renamed", {"a": "b"})
        assert client.workspaces.get("renamed").id == made.id


def test_what_happened_is_told(client: Alcove) -> None:
    with client.workspaces.create("plain") as made:
        kinds = [event.type for event in made.events()]
        assert kinds[0] == "workspace.created"
        following = made.follow_events(after=0)
        assert next(following).type == "workspace.created"


def test_the_server_says_what_it_is(client: Alcove) -> None:
    assert client.server.info().drivers[0].absent
    assert client.server.accepts_token()


def test_a_token_for_one_workspace_reaches_that_one_only(
    client: Alcove, served: Served, workspace: Workspace
) -> None:
    made = client.tokens.create("one", workspace=workspace.id)
    assert made.id in [token.id for token in client.tokens.list()]
    with Alcove(served.url, made.token) as bound:
        assert bound.workspaces.get(workspace.id).name == workspace.name
        assert [w.id for w in bound.workspaces.list()] == [workspace.id]
    client.tokens.revoke(made.id)


def test_a_user_comes_and_is_disabled(client: Alcove) -> None:
    assert client.users.create("ben", role="auditor").role == "auditor"
    assert "ben" in [user.name for user in client.users.list()]
    assert client.users.disable("ben").disabled
    assert not client.users.enable("ben").disabled
    client.users.set_password("ben", "correct horse battery")


def test_a_directory_becomes_a_template(client: Alcove, tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text("name: mine\nimage: {debian: bookworm}\n")
    assert client.templates.lint(tmp_path).ok
    first = client.templates.push(tmp_path, promote=True)
    assert (first.template, first.number, first.active) == ("mine", 1, True)
    assert client.templates.push(tmp_path).number == 1
    assert client.templates.get("mine").active == 1
    assert client.templates.find("no-such") is None
    assert [v.number for v in client.templates.versions("mine")] == [1]
    assert client.templates.promote("mine", 1).active == 1
    assert client.templates.render("mine").template == "mine"


def test_a_template_with_a_mistake_names_the_line(client: Alcove, tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text("name: mine\nimage: {debian: bookworm}\ncpus: 1\n")
    found = client.templates.lint(tmp_path)
    assert not found.ok
    assert found.problems[0].text.startswith("template.yaml:3: ")


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable), Alcove("http://127.0.0.1:1", "x", retries=0) as nobody:
        nobody.server.info()


@pytest.mark.anyio
async def test_the_asynchronous_client_works_the_same(served: Served, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    async with (
        AsyncAlcove(served.url, served.token) as client,
        await client.workspaces.create("plain") as made,
    ):
        assert (await made.exec(["echo", "hi"])).stdout == "hi\n"
        await made.files.upload_directory(tmp_path, "d")
        assert [entry.name async for entry in made.files.list("d")] == ["f"]
        async with made.process(["cat"]) as process:
            await process.write(b"abc")
            await process.close_stdin()
            assert b"".join([output.data async for output in process]) == b"abc"
