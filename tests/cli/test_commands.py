"""Commands against a whole server: what they print, where, and with which exit code."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import ALCOVE, CommandLine

pytestmark = pytest.mark.root


def test_create_prints_the_name_and_delete_takes_it_away(alcove: CommandLine) -> None:
    made = alcove("create", "-t", "plain", "--label", "a=b", "--ttl", "4h")
    name = made.stdout.decode().strip()
    assert made.returncode == 0
    assert b"is ready" in made.stderr
    assert json.loads(alcove("show", name, "--json").stdout)["labels"] == {"a": "b"}
    assert alcove("delete", name, "--yes").returncode == 0
    assert name.encode() not in alcove("list").stdout


def test_json_is_one_document_and_nothing_else(alcove: CommandLine, workspace: str) -> None:
    for argv in (
        ["list"],
        ["show", workspace],
        ["status"],
        ["template", "list"],
        ["template", "show", "plain"],
        ["template", "versions", "plain"],
        ["token", "list"],
        ["user", "list"],
    ):
        done = alcove(*argv, "--json")
        assert done.returncode == 0, argv
        json.loads(done.stdout)
        assert done.stderr == b"", argv


def test_what_streams_is_one_document_per_line(alcove: CommandLine, workspace: str) -> None:
    lines = alcove("events", "--json", "-w", workspace).stdout.splitlines()
    found = [json.loads(line) for line in lines]
    assert found[0]["type"] == "workspace.created"
    assert [event["seq"] for event in found] == sorted(event["seq"] for event in found)


def test_following_tells_at_once(alcove: CommandLine, workspace: str) -> None:
    with subprocess.Popen(
        [ALCOVE, "events", "--json", "-f", "--after", "0", "-w", workspace],
        env=alcove.environment,
        stdout=subprocess.PIPE,
    ) as following:
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["type"] == "workspace.created"
        following.kill()


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["show", "no-such"], 3, "no-such"),
        (["create", "-t", "no-such"], 3, "no-such"),
        (["create", "shared", "-t", "plain"], 5, "already"),
        (["create", "-t", "plain", "-p", "cpu=99"], 2, "parameters.cpu"),
        (["create", "-t", "plain", "--ttl", "soon"], 2, "ttl"),
        (["create", "-t", "plain", "-p", "cpu"], 2, "KEY=VALUE"),
        (["create", "-t", "plain", "--isolation", "gvisor"], 1, "gvisor"),
        (["create"], 2, "--template"),
        (["no-such-command"], 2, "no-such-command"),
        (["update", "shared"], 2, "--ttl"),
        (["cp", "a", "b"], 2, "WORKSPACE:PATH"),
        (["cp", "no-such-file", "shared:x"], 3, "no-such-file"),
        (["template", "lint", "/"], 2, "template.yaml"),
    ],
)
def test_an_error_has_its_code_and_says_what_is_wrong(
    alcove: CommandLine, workspace: str, argv: list[str], code: int, said: str
) -> None:
    done = alcove(*argv)
    assert done.returncode == code, done.stderr
    assert said in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""


def test_an_error_for_a_program_is_json(alcove: CommandLine) -> None:
    done = alcove("show", "no-such", "--json")
    assert json.loads(done.stderr)["error"]["code"] == "not_found"
    assert done.stdout == b""


def test_a_bad_token_is_4(alcove: CommandLine) -> None:
    done = alcove("list", env={"ALCOVE_TOKEN": "alc_wrong"})
    assert done.returncode == 4
    assert b"alcove login" in done.stderr


def test_a_server_that_is_not_there_is_6(alcove: CommandLine) -> None:
    done = alcove("list", env={"ALCOVE_URL": "http://127.0.0.1:1"})
    assert done.returncode == 6
    assert b"cannot reach http://127.0.0.1:1" in done.stderr


def test_deleting_is_not_done_unasked(alcove: CommandLine, workspace: str) -> None:
    done = alcove("delete", workspace)
    assert done.returncode == 2
    assert b"--yes" in done.stderr
    assert alcove("show", workspace).returncode == 0


def test_one_failure_does_not_keep_the_others_from_being_deleted(alcove: CommandLine) -> None:
    name = alcove("create", "-t", "plain").stdout.decode().strip()
    done = alcove("delete", "no-such", name, "--yes")
    assert done.returncode == 3
    assert alcove("show", name).returncode == 3


def test_stop_and_start(alcove: CommandLine) -> None:
    name = alcove("create", "-t", "plain").stdout.decode().strip()
    assert alcove("stop", name).returncode == 0
    assert alcove("exec", name, "true").returncode == 5
    assert alcove("start", name).returncode == 0
    assert alcove("exec", name, "true").returncode == 0
    assert alcove("restart", name, "--json").returncode == 0
    assert alcove("delete", "-y", name).returncode == 0


def test_a_change_is_made(alcove: CommandLine) -> None:
    name = alcove("create", "-t", "plain", "--ttl", "4h", "-l", "a=b").stdout.decode().strip()
    assert alcove("update", name, "--ttl", "8h", "-l", "c=d").returncode == 0
    shown = json.loads(alcove("show", name, "--json").stdout)
    assert shown["labels"] == {"a": "b", "c": "d"}
    alcove("delete", "-y", name)


def test_files_go_there_and_back(alcove: CommandLine, workspace: str, tmp_path: Path) -> None:
    data = os.urandom(100_000)
    (tmp_path / "one").write_bytes(data)
    assert alcove("cp", tmp_path / "one", f"{workspace}:two").returncode == 0
    assert alcove("cp", f"{workspace}:two", tmp_path / "three").returncode == 0
    assert (tmp_path / "three").read_bytes() == data
    assert alcove("cp", f"{workspace}:two", "-").stdout == data


def test_a_directory_goes_into_one_that_is_there(
    alcove: CommandLine, workspace: str, tmp_path: Path
) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/f").write_text("x")
    alcove("exec", workspace, "mkdir", "-p", "target")
    assert alcove("cp", tmp_path / "src", f"{workspace}:target").returncode == 0
    assert alcove("exec", workspace, "cat", "target/src/f").stdout == b"x"
    (tmp_path / "here").mkdir()
    assert alcove("cp", f"{workspace}:target/src", tmp_path / "here").returncode == 0
    assert (tmp_path / "here/src/f").read_text() == "x"


def test_what_is_left_out_is_named(alcove: CommandLine, workspace: str, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/etc").symlink_to("/etc")
    done = alcove("cp", tmp_path / "src", f"{workspace}:linked")
    assert done.returncode == 0
    assert b"left out etc: a link to /etc" in done.stderr


def test_signing_in_stores_a_token_that_works(alcove: CommandLine, tmp_path: Path) -> None:
    token = alcove.served.token
    nobody = {"ALCOVE_TOKEN": "", "ALCOVE_URL": ""}
    done = alcove("login", alcove.served.url, stdin=f"{token}\n".encode(), env=nobody)
    assert done.returncode == 0, done.stderr
    file = tmp_path / ".config/alcove/credentials.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert alcove("list", env=nobody).returncode == 0
    assert token.encode() not in done.stdout + done.stderr
    assert alcove("logout", env=nobody).returncode == 0
    assert alcove("list", env=nobody).returncode == 4


def test_signing_in_with_a_wrong_token_stores_nothing(alcove: CommandLine, tmp_path: Path) -> None:
    nobody = {"ALCOVE_TOKEN": "", "ALCOVE_URL": ""}
    done = alcove("login", alcove.served.url, "--token", "-", stdin=b"wrong\n", env=nobody)
    assert done.returncode == 4
    assert not (tmp_path / ".config").exists()


def test_a_token_is_printed_once_and_ends(alcove: CommandLine) -> None:
    made = json.loads(alcove("token", "create", "ci", "--expires-in", "1h", "--json").stdout)
    with_it = {"ALCOVE_TOKEN": made["token"]}
    assert alcove("list", env=with_it).returncode == 0
    assert made["token"].encode() not in alcove("token", "list", "--json").stdout
    assert alcove("token", "revoke", made["id"]).returncode == 0
    assert alcove("list", env=with_it).returncode == 4


def test_a_user_is_added_with_a_password_from_stdin(alcove: CommandLine) -> None:
    done = alcove("user", "create", "eve", "--password", stdin=b"correct horse battery\n")
    assert done.returncode == 0, done.stderr
    assert alcove("user", "passwd", "eve", stdin=b"another horse battery\n").returncode == 0
    assert alcove("user", "disable", "eve").returncode == 0
    assert b"disabled" in alcove("user", "list").stdout
    assert alcove("user", "enable", "eve").returncode == 0


def test_a_template_is_pushed_and_rolled_back(alcove: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "template.yaml"
    for cpu in (1, 2):
        file.write_text(f"name: rolled\nimage: {{debian: bookworm}}\nresources: {{cpu: {cpu}}}\n")
        assert alcove("template", "push", tmp_path, "--promote").returncode == 0
    assert alcove("template", "promote", "rolled", "1").returncode == 0
    versions = json.loads(alcove("template", "versions", "rolled", "--json").stdout)["items"]
    assert [(v["number"], v["active"]) for v in versions] == [(2, False), (1, True)]


def test_a_mistake_in_a_template_is_named_by_its_line(alcove: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text("name: x\nimage: {debian: bookworm}\ncpus: 1\n")
    done = alcove("template", "lint", tmp_path)
    assert done.returncode == 1
    assert b"template.yaml:3: " in done.stdout
    assert b"template.yaml:3: " in alcove("template", "push", tmp_path).stderr


def test_the_shell_completes_names(alcove: CommandLine, workspace: str) -> None:
    done = alcove(
        env={
            "_ALCOVE_COMPLETE": "complete_bash",
            "COMP_WORDS": "alcove show sh",
            "COMP_CWORD": "2",
        }
    )
    assert done.stdout.split() == [b"shared"]


def test_completion_says_nothing_when_the_server_is_away(alcove: CommandLine) -> None:
    done = alcove(
        env={
            "_ALCOVE_COMPLETE": "complete_bash",
            "COMP_WORDS": "alcove show sh",
            "COMP_CWORD": "2",
            "ALCOVE_URL": "http://127.0.0.1:1",
        }
    )
    assert (done.stdout.strip(), done.stderr) == (b"", b"")


def test_colours_are_for_terminals(alcove: CommandLine, workspace: str) -> None:
    done = alcove("list")
    assert b"\x1b" not in done.stdout + done.stderr
