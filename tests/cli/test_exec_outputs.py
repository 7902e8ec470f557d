"""`alcove exec-outputs`: found, shown harmlessly, and given as it is where that is asked for."""

import json
import time

from tests.cli.conftest import CommandLine

WROTE = b"\x1b[2Jhello\x07\xff\n"


def _kept(alcove: CommandLine, workspace: str, word: str) -> str:
    """Runs a command that has this word in it; answers the id of what is kept of it."""
    line = rf": {word}; printf '\033[2Jhello\007\377\n'"
    ran = alcove("exec", workspace, "--", "/bin/sh", "-c", line)
    assert ran.stdout == WROTE, ran.stderr
    until = time.monotonic() + 10
    while time.monotonic() < until:
        listed = alcove("exec-outputs", "list", "-w", workspace, "--text", word, "--json")
        assert listed.returncode == 0, listed.stderr
        if found := json.loads(listed.stdout)["items"]:
            return str(found[0]["id"])
    raise AssertionError("it is not written")


def test_it_is_shown_without_doing_anything(alcove: CommandLine, workspace: str) -> None:
    id = _kept(alcove, workspace, "harmless")
    shown = alcove("exec-outputs", "show", id)
    assert shown.returncode == 0, shown.stderr
    assert rb"\x1b[2Jhello\x07" in shown.stdout
    assert b"\x1b" not in shown.stdout
    assert b"\x07" not in shown.stdout


def test_its_bytes_are_given_where_they_are_asked_for(alcove: CommandLine, workspace: str) -> None:
    id = _kept(alcove, workspace, "exactly")
    assert alcove("exec-outputs", "show", id, "--raw", "stdout").stdout == WROTE
    assert alcove("exec-outputs", "show", id, "--raw", "stderr").stdout == b""


def test_the_list_names_the_command(alcove: CommandLine, workspace: str) -> None:
    id = _kept(alcove, workspace, "named")
    listed = alcove("exec-outputs", "list", "-w", workspace, env={"COLUMNS": "200"})
    assert id.encode() in listed.stdout
    assert b"named" in listed.stdout


def test_what_is_not_there_is_said(alcove: CommandLine) -> None:
    missing = alcove("exec-outputs", "show", "out-none")
    assert missing.returncode != 0
    assert b"out-none" in missing.stderr
