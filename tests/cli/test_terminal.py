"""`alcove terminal` and `alcove sessions`, from a real terminal against a real agent."""

import json
import secrets
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from alcove import Alcove
from alcove.cli.terminal import HELD_MAX, Escape
from tests.cli.conftest import CommandLine
from tests.cli.test_exec import Typist, at_a_terminal

if TYPE_CHECKING:
    import subprocess


@pytest.fixture
def tab() -> str:
    """The name of a terminal that no other test uses."""
    return f"tab-{secrets.token_hex(3)}"


@pytest.mark.parametrize(
    ("typed", "sent", "left"),
    [
        (b"ls\r", b"ls\r", False),
        (b"~.", b"", True),
        (b"ls\r~.more", b"ls\r", True),
        (b"a~.", b"a~.", False),
        (b"~~.", b"~.", False),
        (b"~x\r~.", b"~x\r", True),
    ],
)
def test_tilde_dot_leaves_at_the_beginning_of_a_line(
    typed: bytes, sent: bytes, left: bool
) -> None:
    whole, single = Escape(), Escape()
    assert (whole.feed(typed), whole.left) == (sent, left)
    pieces = b""
    for at in range(len(typed)):
        if not single.left:
            pieces += single.feed(typed[at : at + 1])
    assert (pieces, single.left) == (sent, left)


@pytest.mark.root
def test_what_is_left_goes_on_and_is_seen_again(
    alcove: CommandLine, workspace: str, tab: str
) -> None:
    with at_a_terminal(alcove, "terminal", workspace, "--name", tab) as first:
        first.type(b"KEPT=on; echo seen-$((1+1))\r")
        first.wait_for(b"seen-2")
        first.type(b"\r~.")
        first.wait_for(b"it goes on")
        assert first.process.wait(20) == 0
    with at_a_terminal(alcove, "terminal", workspace, "--name", tab) as second:
        second.wait_for(b"seen-2")
        second.type(b"echo still-$KEPT\r")
        second.wait_for(b"still-on")


@pytest.mark.root
def test_a_lost_connection_is_taken_up_where_it_was(
    alcove: CommandLine, workspace: str, tab: str
) -> None:
    with _wired(alcove, workspace, tab) as (typist, wire):
        typist.type(b"KEPT=on; echo once-$((1+1))\r")
        typist.wait_for(b"once-2")
        wire.cut()
        wire.mend()
        typist.wait_for(b"connection is lost")
        typist.type(b"echo still-$KEPT\r")
        typist.wait_for(b"still-on")
        assert typist.seen.count(b"once-2") == 1


@pytest.mark.root
def test_what_is_typed_while_the_connection_is_lost_arrives_once_and_in_order(
    alcove: CommandLine, workspace: str, tab: str
) -> None:
    with _cut_off(alcove, workspace, tab) as (typist, wire):
        for number in b"123":
            typist.type(b"n=$((n*10+%c))\r" % number)
        typist.type(b"echo n-is-$n.\r")
        wire.mend()
        typist.wait_for(b"n-is-123.")


@pytest.mark.root
def test_no_more_is_kept_than_is_said_and_what_comes_after_that_is_not_sent(
    alcove: CommandLine, workspace: str, tab: str
) -> None:
    with _cut_off(alcove, workspace, tab) as (typist, wire):
        typist.type(b"echo first-$((1+1))\r")
        typist.type(b"#" * (HELD_MAX + 1))
        typist.wait_for(b"no more is kept")
        typist.type(b"\recho second-$((1+1))\r")
        wire.mend()
        typist.wait_for(b"first-2")
        typist.type(b"\recho third-$((1+1))\r")
        typist.wait_for(b"third-2")
        assert b"second-2" not in typist.seen


@pytest.mark.root
def test_what_was_typed_for_a_shell_is_not_typed_into_the_next_one(
    alcove: CommandLine, workspace: str, tab: str
) -> None:
    with _cut_off(alcove, workspace, tab) as (typist, wire):
        typist.type(b"echo meant-for-the-$((1+0))st\r")
        with Alcove(alcove.served.url, alcove.served.token) as client:
            client.workspaces.get(workspace).terminals.close(tab)
        wire.mend()
        typist.wait_for(b"another shell runs now")
        typist.type(b"echo for-the-$((1+1))nd\r")
        typist.wait_for(b"for-the-2nd")
        assert b"meant-for-the-1st" not in typist.seen


class Wire:
    """Another address of the server. It can be cut, and mended again."""

    def __init__(self, url: str) -> None:
        self._far = (urlsplit(url).hostname or "", urlsplit(url).port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._whole = True
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._whole = False
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._whole = True

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self.cut()
        for thread in self._threads:
            thread.join()
        for end in (self._listener, *self._open):
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if not self._whole:
                    near.close()
                    continue
                beyond = socket.create_connection(self._far)
                self._open += (near, beyond)
                for pair in ((near, beyond), (beyond, near)):
                    self._threads.append(threading.Thread(target=_carry, args=pair, daemon=True))
                    self._threads[-1].start()


def _carry(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    for end in (one, other):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def _wired(alcove: CommandLine, workspace: str, tab: str) -> Generator[tuple[Typist, Wire]]:
    """Somebody at a terminal whose connection can be cut."""
    wire = Wire(alcove.served.url)
    try:
        through = replace(alcove, served=replace(alcove.served, url=wire.url))
        with at_a_terminal(through, "terminal", workspace, "--name", tab) as typist:
            yield typist, wire
    finally:
        wire.close()


@contextmanager
def _cut_off(alcove: CommandLine, workspace: str, tab: str) -> Generator[tuple[Typist, Wire]]:
    """Somebody whose connection has just been cut, and who knows it."""
    with _wired(alcove, workspace, tab) as (typist, wire):
        typist.type(b"echo up-$((1+1))\r")
        typist.wait_for(b"up-2")
        wire.cut()
        typist.wait_for(b"connection is lost")
        yield typist, wire


@pytest.mark.root
def test_the_exit_code_is_the_shells(alcove: CommandLine, workspace: str, tab: str) -> None:
    with at_a_terminal(alcove, "terminal", workspace, "--name", tab) as typist:
        typist.type(b"exit 7\r")
        assert typist.process.wait(20) == 7


@pytest.mark.root
def test_the_terminal_is_as_large_as_the_window(
    alcove: CommandLine, workspace: str, tab: str
) -> None:
    with at_a_terminal(alcove, "terminal", workspace, "--name", tab) as typist:
        typist.type(b"stty size\r")
        typist.wait_for(b"40 111")
        # What is typed may overtake the new size, so that it is looked at until it is there.
        typist.type(b"while :; do stty size; sleep 0.1; done\r")
        typist.resize(90, 20)
        typist.wait_for(b"20 90")


@pytest.mark.root
def test_the_list_names_those_that_run(alcove: CommandLine, workspace: str, tab: str) -> None:
    with at_a_terminal(alcove, "terminal", workspace, "--name", tab) as typist:
        typist.type(b"echo up-$((1+1))\r")
        typist.wait_for(b"up-2")
        listed = alcove("terminal", workspace, "--list")
        assert tab in listed.stdout.decode(), listed.stderr


@pytest.mark.root
def test_without_a_terminal_it_says_what_to_use(alcove: CommandLine, workspace: str) -> None:
    done = alcove("terminal", workspace)
    assert done.returncode == 2
    assert b"alcove exec" in done.stderr


@pytest.mark.root
def test_a_session_is_listed_and_ended(alcove: CommandLine, workspace: str, tab: str) -> None:
    with at_a_terminal(alcove, "terminal", workspace, "--name", tab) as typist:
        typist.type(b"echo up-$((1+1))\r")
        typist.wait_for(b"up-2")
        one = _only(alcove("sessions", "--json"), tab)
        assert one["workspace"]["name"] == workspace
        table = alcove("sessions", "-w", workspace)
        assert one["id"] in table.stdout.decode()
        done = alcove("sessions", "end", one["id"])
        assert done.returncode == 0, done.stderr
        typist.wait_for(b"ended this session")
        assert typist.process.wait(20) == 5
    assert alcove("sessions", "end", one["id"]).returncode == 3


def _only(done: "subprocess.CompletedProcess[bytes]", tab: str) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    [one] = [it for it in json.loads(done.stdout)["items"] if it["detail"]["terminal"] == tab]
    return one
