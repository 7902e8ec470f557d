"""`alcove terminal` and `alcove sessions`, from a real terminal against a real agent."""

import json
import os
import secrets
import select
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from alcove.cli.terminal import Escape
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
    with _wire(alcove.served.url) as (url, cut):
        through = replace(alcove, served=replace(alcove.served, url=url))
        with at_a_terminal(through, "terminal", workspace, "--name", tab) as typist:
            typist.type(b"KEPT=on; echo once-$((1+1))\r")
            typist.wait_for(b"once-2")
            cut()
            typist.wait_for(b"connection is lost")
            # What is typed while there is no connection is for nobody.
            for _ in range(20):
                typist.type(b"echo still-$KEPT\r")
                if _came(typist, b"still-on"):
                    break
            assert b"still-on" in typist.seen
            assert typist.seen.count(b"once-2") == 1


def _came(typist: Typist, text: bytes) -> bool:
    """Whether it is on the screen within about a second."""
    deadline = time.monotonic() + 1
    while text not in typist.seen and time.monotonic() < deadline:
        if select.select([typist.screen], [], [], 0.1)[0]:
            typist.seen += os.read(typist.screen, 65536)
    return text in typist.seen


@contextmanager
def _wire(url: str) -> Generator[tuple[str, Callable[[], None]]]:
    """Another address of the server, and what cuts the connections that go through it."""
    far = (urlsplit(url).hostname or "", urlsplit(url).port or 0)
    open_: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def carry(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                beyond = socket.create_connection(far)
                open_.extend((near, beyond))
                for pair in ((near, beyond), (beyond, near)):
                    threads.append(threading.Thread(target=carry, args=pair, daemon=True))
                    threads[-1].start()

    def cut() -> None:
        for end in open_:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", cut
        listener.shutdown(socket.SHUT_RDWR)
        cut()
        for thread in threads:
            thread.join()
        for end in open_:
            end.close()


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
