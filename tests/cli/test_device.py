"""`alcove login` at a terminal: the code that it shows, and what comes of each decision."""

import json
from pathlib import Path

import httpx
import pytest

from alcove.cli.device import client_name
from tests.cli.conftest import CommandLine
from tests.cli.terminal import Seen, at_a_terminal

pytestmark = pytest.mark.root


def nobody(alcove: CommandLine) -> dict[str, str]:
    """Who sits at a terminal and has no token."""
    without = {"ALCOVE_TOKEN", "ALCOVE_URL"}
    return {name: text for name, text in alcove.environment.items() if name not in without}


def decide(alcove: CommandLine, code: str, decision: str) -> httpx.Response:
    """In a browser in which the first administrator is signed in."""
    url = alcove.served.url
    with httpx.Client(base_url=url, headers={"origin": url}, trust_env=False) as browser:
        name = json.loads(alcove("status", "--json").stdout)["user"]["name"]
        link = browser.post(
            f"/api/v2/users/{name}/sign-in-link",
            headers={"authorization": f"Bearer {alcove.served.token}"},
        ).json()["url"]
        browser.post("/sign-in/link", data={"token": link.partition("token=")[2]})
        return browser.post("/device", data={"code": code, "decision": decision})


def shown_code(seen: Seen) -> str:
    return seen.wait_for(r"\b([A-Z]{4}-[A-Z]{4})\b")[1]


def test_who_is_let_in_is_signed_in(alcove: CommandLine) -> None:
    env = nobody(alcove)
    with at_a_terminal("login", alcove.served.url, env=env) as seen:
        code = shown_code(seen)
        assert f"/device?code={code}" in seen.wait_for(r"http://\S+")[0]
        assert decide(alcove, code, "approve").status_code == 200
        seen.wait_for("signed in to")
        assert seen.end() == 0
    status = alcove("status", "--json", env={"ALCOVE_TOKEN": "", "ALCOVE_URL": ""})
    assert status.returncode == 0, status.stderr
    tokens = json.loads(alcove("token", "list", "--json").stdout)["items"]
    assert client_name() in {token["name"] for token in tokens}


def test_who_is_kept_out_is_told_so_and_keeps_nothing(alcove: CommandLine) -> None:
    with at_a_terminal("login", alcove.served.url, env=nobody(alcove)) as seen:
        assert decide(alcove, shown_code(seen), "deny").status_code == 200
        seen.wait_for("denied in the browser")
        assert seen.end() == 4
    assert not (alcove.home / ".config/alcove/credentials.json").exists()


def test_a_browser_is_opened_where_there_is_one(alcove: CommandLine, tmp_path: Path) -> None:
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    script.chmod(0o755)
    env = {**nobody(alcove), "BROWSER": f"{script} %s"}
    with at_a_terminal("login", alcove.served.url, env=env) as seen:
        code = shown_code(seen)
        seen.wait_for("should have opened")
        assert (tmp_path / "opened").read_text().strip().endswith(f"/device?code={code}")
    over_ssh = {**env, "SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"}
    (tmp_path / "opened").unlink()
    with at_a_terminal("login", alcove.served.url, env=over_ssh) as seen:
        shown_code(seen)
        seen.wait_for("Go to")
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize("argv", [["--token-stdin"], ["--token", "-"], []])
def test_a_token_is_read_from_stdin(alcove: CommandLine, argv: list[str]) -> None:
    token = alcove.served.token.encode()
    done = alcove("login", alcove.served.url, *argv, stdin=token + b"\n", env={"ALCOVE_TOKEN": ""})
    assert done.returncode == 0, done.stderr
    assert token not in done.stdout + done.stderr


def test_what_is_no_server_of_ours_is_said(alcove: CommandLine, tmp_path: Path) -> None:
    with at_a_terminal("login", f"{alcove.served.url}/elsewhere", env=nobody(alcove)) as seen:
        seen.wait_for("no Alcove server")
        assert seen.end() == 1


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("ada-laptop.example.com", "alcove on ada-laptop"),
        ("<b>x</b>", "alcove on -b-x-/b-"),
        ("", "alcove on a machine"),
        ("h" * 200, ("alcove on " + "h" * 200)[:64]),
    ],
)
def test_the_token_is_called_after_the_machine(host: str, name: str) -> None:
    assert client_name(host) == name
