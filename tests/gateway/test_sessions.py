"""Shells and commands, with the stock OpenSSH client against a real agent."""

import re
import shlex
from pathlib import Path

import anyio
import asyncssh
import pytest
from anyio.abc import Process

from alcove.core import execs, terminals
from alcove.core.agent import Call
from alcove.core.frames import Frame
from tests.core.world import ADA
from tests.gateway.reached import Reached, at_a_terminal, eventually, is_there, read_until, run

HOST = "127.0.0.1"
API = f"api@{HOST}"


async def test_a_command_gives_output_errors_and_exit_code_apart(ssh: Reached) -> None:
    said = await ssh.ssh(API, "echo out; echo err >&2; exit 7")
    assert (said.code, said.out, said.err) == (7, b"out\n", "err\n")


@pytest.mark.parametrize("login", ["api", "api.ada", "ada/api", "ID"])
async def test_the_login_name_says_which_workspace(ssh: Reached, login: str) -> None:
    name = login
    if login == "ID":
        name = (await ssh.told("workspace.created"))[0].subject
    said = await ssh.ssh("-l", name, HOST, "echo in")
    assert (said.code, said.out) == (0, b"in\n"), said.err


async def test_stdin_reaches_the_command_and_so_does_its_end(ssh: Reached) -> None:
    sent = bytes(range(256)) * 20_000
    said = await ssh.ssh(API, "cat", input=sent)
    assert said.out == sent


async def test_a_shell_without_a_terminal_reads_its_script(ssh: Reached) -> None:
    said = await ssh.ssh("-T", API, input=b"echo one\nexit 3\n")
    assert (said.code, said.out) == (3, b"one\n")


async def test_a_terminal_has_the_size_and_type_of_the_clients(ssh: Reached) -> None:
    script = "stty size; tty; echo $SSH_TTY $TERM"
    said = await at_a_terminal(f"stty cols 123 rows 45; TERM=foot {line(ssh, '-t', API, script)}")
    size, tty, shown = said.split("\r\n")[:3]
    assert size.endswith("45 123")
    assert shown == f"{tty} foot"


async def test_a_terminal_behaves_as_the_clients_does(ssh: Reached) -> None:
    ours = "stty erase ^H intr ^X quit undef -isig -echo -icanon -onlcr iutf8 ixany"
    said = await at_a_terminal(f"{ours}; {line(ssh, '-t', API, 'stty -a')}")
    shown = said.split()
    for mode in ("-isig", "-echo", "-icanon", "-onlcr", "iutf8", "ixany", "echoe", "opost"):
        assert mode in shown, said
    for character in ("erase = ^H;", "intr = ^X;", "quit = <undef>;", "eof = ^D;"):
        assert character in " ".join(shown), said


async def test_a_client_without_a_terminal_of_its_own_gets_an_ordinary_one(ssh: Reached) -> None:
    said = await ssh.ssh("-tt", API, "stty -a")
    assert {"isig", "icanon", "echo", "onlcr"} <= set(said.out.decode().split())


async def test_a_resize_reaches_what_runs(ssh: Reached) -> None:
    # A terminal of our own between, whose size a second program changes.
    inner = "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done"
    outer = f"tty > {ssh.home}/tty; stty cols 80 rows 24; {line(ssh, '-t', API, inner)}"
    process = await anyio.open_process(["script", "-qec", outer, "/dev/null"])
    async with process:
        await read_until(process, b"ready")
        tty = (ssh.home / "tty").read_text().strip()
        await run("stty", "-F", tty, "cols", "101", "rows", "33")
        await read_until(process, b"33 101")


async def test_what_a_signal_ended_is_told_as_such(ssh: Reached) -> None:
    said = await ssh.ssh("-v", API, "kill -TERM $$")
    assert said.code == 255
    assert "client_input_channel_req: channel 0 rtype exit-signal" in said.err


async def test_a_client_that_goes_away_ends_what_it_ran(ssh: Reached) -> None:
    async with ssh.client(API, "echo $$; exec sleep 1000") as process:
        pid = int(await read_until(process, b"\n"))

    async def gone() -> bool:
        return not is_there(pid)

    await eventually(gone)


async def test_a_client_that_goes_away_ends_its_shell(ssh: Reached) -> None:
    async with ssh.client("-tt", API) as process:
        pid = await _shell_of(process)

    async def gone() -> bool:
        return not is_there(pid)

    await eventually(gone)


async def test_a_shell_outlives_a_restart_of_the_server(ssh: Reached) -> None:
    async with ssh.client("-tt", API) as process:
        pid = await _shell_of(process)
        ssh.core.gate.closing = True
        await process.wait()
    ssh.core.gate.closing = False
    (found,) = await terminals.find(ssh.core, ADA, "api")
    assert found.session.startswith("ssh-")
    assert is_there(pid)
    await terminals.close(ssh.core, ADA, "api", found.session)


async def _shell_of(process: Process) -> int:
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdin.send(b"echo 4$((1+1))=$$=\n")
    said = await read_until(process, b"42=")
    while (found := re.search(rb"42=(\d+)=", said)) is None:
        said += await process.stdout.receive()
    return int(found[1])


async def test_what_went_to_the_background_outlives_the_session(ssh: Reached) -> None:
    said = await ssh.ssh(API, "setsid sleep 1000 >/dev/null 2>&1 </dev/null & echo $!")
    pid = int(said.out)
    try:
        assert is_there(pid)
    finally:
        await run("kill", str(pid))


async def test_variables_of_the_client_are_taken_but_not_the_workspaces_own(ssh: Reached) -> None:
    said = await ssh.ssh(
        *("-o", "SetEnv=LC_ALL=C GIT_AUTHOR_NAME=Ada FEATURE=1 PATH=/evil LD_PRELOAD=/x"),
        *(API, 'echo "$LC_ALL|$GIT_AUTHOR_NAME|$FEATURE|$PATH|$LD_PRELOAD|"'),
    )
    lc, author, feature, path, preload, _ = said.out.decode().split("|")
    assert (lc, author, feature, preload) == ("C", "Ada", "1", "")
    assert path != "/evil"


async def test_a_command_knows_that_it_came_by_ssh(ssh: Reached) -> None:
    said = await ssh.ssh(API, "echo $SSH_CONNECTION")
    address, _, here, port = said.out.decode().split()
    assert (address, here, port) == (HOST, HOST, str(ssh.port))


async def test_many_sessions_share_one_connection(ssh: Reached) -> None:
    control = ssh.home / "ctl"

    async def there() -> bool:
        return control.exists()

    said: list[bytes] = []

    async def one(number: int) -> None:
        said.append((await ssh.ssh("-S", str(control), API, f"echo {number}")).out)

    async with ssh.client("-M", "-S", str(control), "-N", API):
        await eventually(there)
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(one, number)
        assert sorted(said) == sorted(f"{n}\n".encode() for n in range(20))
        assert len(await ssh.events("session.opened")) == 1


async def test_x11_is_refused_and_the_session_goes_on(ssh: Reached) -> None:
    said = await run(*("env", "DISPLAY=:99", *ssh.command("-Y", API, "echo in")), check=False)
    assert said.out == b"in\n"
    assert "X11 forwarding request failed" in said.err
    assert [e.detail["kind"] for e in await ssh.told("channel.refused")] == ["x11"]


async def test_an_unknown_subsystem_is_refused(ssh: Reached) -> None:
    said = await ssh.ssh("-s", API, "netconf")
    assert said.code != 0
    refused = await ssh.told("channel.refused")
    assert refused[0].detail["kind"] == "subsystem"


async def test_a_large_output_waits_for_a_slow_reader(ssh: Reached) -> None:
    """The process inside stands still while nobody reads; nothing piles up in between."""
    written = -1

    async def still() -> bool:
        nonlocal written
        before, written = written, _written(pid)
        await anyio.sleep(0.3)
        return before == written

    async with ssh.client(API, "echo $$; exec head -c 200000000 /dev/zero") as process:
        pid = int((await read_until(process, b"\n")).partition(b"\n")[0])
        await eventually(still)
        assert written < 30_000_000


async def test_sessions_and_channels_are_events(ssh: Reached) -> None:
    await ssh.ssh(API, "true")
    (opened,), (closed,) = await ssh.told("session.opened"), await ssh.told("session.closed")
    (channel,) = await ssh.told("channel.opened")
    assert opened.detail["kind"] == closed.detail["kind"] == "ssh"
    assert opened.detail["method"] == "key"
    assert str(opened.detail["client"]).startswith("SSH-2.0-OpenSSH")
    assert str(opened.detail["fingerprint"]).startswith("SHA256:")
    assert opened.detail["session"] == closed.detail["session"] == channel.detail["session"]
    assert (channel.detail["kind"], channel.detail["command"]) == ("exec", "true")
    assert opened.address == "127.0.0.1"


async def test_a_signal_that_the_client_sends_arrives(ssh: Reached) -> None:
    script = "trap 'echo usr; exit 5' USR1; echo up; while :; do sleep 0.05; done"
    key = str(ssh.home / "key")
    async with (
        asyncssh.connect(
            HOST, ssh.port, username="api", client_keys=[key], known_hosts=None
        ) as connection,
        connection.create_process(script) as process,
    ):
        assert await process.stdout.readline() == "up\n"
        process.send_signal("USR1")
        assert await process.stdout.readline() == "usr\n"
        await process.wait_closed()
        assert process.exit_status == 5


async def test_input_that_comes_too_late_does_not_take_the_exit_away(ssh: Reached) -> None:
    call = Call(["/bin/sh", "-c", "exit 5"], stdin=True)
    async with execs.process(ssh.core, ADA, "api", call) as live:
        # It has ended, nobody has read that, and the client goes on sending.
        await anyio.sleep(0.3)
        for _ in range(3):
            await live.send(Frame.STDIN, b"late")
            await anyio.sleep(0.05)
        said = [(kind, payload) async for kind, payload in live.frames()]
    assert execs.read_exit(said[-1][1]).exit_code == 5


def line(ssh: Reached, *words: str) -> str:
    return shlex.join(ssh.command(*words))


def _written(pid: int) -> int:
    fields = dict(one.split(": ") for one in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(fields["wchar"])
