"""Checkpoints of workspaces whose processes are stuck, and checkpoints that are stuck themselves:
nothing is lost, and what could not be done can be asked for again."""

import os
import signal
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from alcove.core.agent import Call
from alcove.host.syscalls import freeze_file_system, thaw_file_system
from alcove.model.errors import DriverError
from alcove.model.workspace import Isolation, SnapshotId
from tests.host.installation import IMAGE, ROOT, Installation, Running, a_spec

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]
CHECKPOINT_S = 4.0
SAFE_S = 40.0
"""What a verb may take at most, with all that it undoes: less than a step of the reconciler."""

PRELUDE = """
import os, signal, socket, sys, threading, time
def ready():
    open(os.path.expanduser("~/ready"), "w").write(str(os.getpid()))
def child(act):
    pid = os.fork()
    if not pid:
        act()
        os._exit(0)
    return pid
"""
STUCK = {
    "stopped": (
        "p = child(lambda: os.kill(os.getpid(), signal.SIGSTOP))\nos.waitpid(p, os.WUNTRACED)"
    ),
    "busy and deaf to signals": (
        "[signal.signal(s, signal.SIG_IGN) for s in (1, 2, 3, 10, 12, 15)]\n"
        "def spin():\n"
        "    while True: pass\n"
        "child(spin)"
    ),
    "reading from a pipe that nobody writes to": "r, w = os.pipe(); child(lambda: os.read(r, 1))",
    "reading from a unix socket": (
        "a, b = socket.socketpair(); child(lambda: a.recv(1))"
    ),
    "parent of a dead one that it never asks about": "child(lambda: None); time.sleep(0.2)",
    "traced": (
        "call = 101 if os.uname().machine == 'x86_64' else 117\n"
        "perl = f'syscall({call}, 0, 0, 0, 0); kill STOP => $$; sleep 99'\n"
        "p = os.posix_spawn('/usr/bin/perl', ['perl', '-e', perl], {})\n"
        "os.waitpid(p, os.WUNTRACED)"
    ),
    "waiting for a child that sleeps": (
        "import subprocess\n"
        "threading.Thread(target=lambda: subprocess.call(['sleep', '99'])).start()"
    ),
    "at the end of connections and of a file that is gone": (
        "l = socket.create_server(('127.0.0.1', 0))\n"
        "c = socket.create_connection(l.getsockname())\n"
        "s = l.accept()[0]; u = socket.socketpair()\n"
        "f = open(os.path.expanduser('~/gone'), 'w+'); f.write('x' * 9999); os.unlink(f.name)\n"
        "threading.Thread(target=lambda: s.recv(1)).start()"
    ),
}  # fmt: skip
TICK = """
for n in range(10**9):
    open(os.path.expanduser("~/tick"), "w").write(f"{n:09d}")
    time.sleep(0.02)
"""


SHIM = """#!/bin/sh
for word; do case "$word" in pause|resume|create) verb=$word;; esac; id=$word; done
if [ "$(cat {cut} 2>/dev/null)" = "${{verb:-none}}" ]; then
    rm {cut}
    {real} "$@" && : > "$(dirname {cut})/host/runsc/${{id}}_sandbox:$id.state"
    kill -9 $$
fi
exec {real} "$@"
"""
"""runsc, killed in the middle of noting what it did, once, where the file `cut` names the verb."""


@pytest.fixture(scope="module")
def quick(agent_binary: Path, essential_root: Path) -> Generator[Installation]:
    """An installation that gives up on a checkpoint early."""
    layers = {IMAGE.key: [essential_root]}
    made = Installation(
        f"g{os.getpid()}", layers, agent_binary, changes={"checkpoint_s": CHECKPOINT_S}
    )
    tools = made.data_dir / "tools"
    tools.mkdir(parents=True)
    shim = tools / "runsc"
    shim.write_text(SHIM.format(real=ROOT / ".tools/runsc", cut=made.data_dir / "cut-off"))
    shim.chmod(0o755)
    made.changes = {**made.changes, "tools": str(tools)}
    made.up()
    yield made
    made.remove()


@pytest.fixture
async def box(quick: Installation) -> AsyncGenerator[Running]:
    quick.connect()
    made = await quick.create(a_spec(isolation=Isolation.GVISOR))
    yield made
    await made.destroy()
    assert list(await quick.driver.inventory()) == []
    await quick.disconnect()


async def run_stuck(box: Running, how: str) -> int:
    """A process that is stuck as `STUCK` says and then counts in `~/tick`; answers its pid."""
    program = f"{PRELUDE}\n{how}\nready()\n{TICK}"
    call = Call(["/usr/bin/python3", "-c", program], detach=True)
    async with box.installation.agents.exec(box.reach, call) as frames:
        async for _ in frames:
            break
    done = await box.run(
        "for i in $(seq 500); do [ -s ~/tick ] && break; sleep 0.02; done; cat ~/ready"
    )
    return int(done.stdout)


async def goes_on(box: Running) -> None:
    """It is there for whoever asks, and its process counts on."""
    seen = await box.installation.driver.observe(box.id, box.handle)
    assert (seen.state, seen.boot) == ("ready", box.reach.boot)
    changed = "for i in $(seq 500); do [ $(cat ~/tick) != $a ] && exit; sleep 0.02; done; exit 1"
    assert (await box.run(f"a=$(cat ~/tick); {changed}")).exit_code == 0


async def pauses(box: Running) -> None:
    await box.installation.driver.pause(box.id, box.handle)
    seen = await box.installation.driver.observe(box.id, box.handle)
    assert seen.state == "paused"
    await box.installation.driver.resume(box.id, box.handle)
    await goes_on(box)


@contextmanager
def frozen(mounted: Path) -> Generator[None]:
    """Whoever writes to that file system waits."""
    descriptor = os.open(mounted, os.O_RDONLY)
    freeze_file_system(descriptor)
    try:
        yield
    finally:
        thaw_file_system(descriptor)
        os.close(descriptor)


def snapshot_id(box: Running) -> SnapshotId:
    return SnapshotId("sn-" + box.id[3:])


def sees(workspace: str, verb: str) -> int | None:
    """The process of the runtime that does `verb` with that workspace."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().decode(errors="replace").split("\0")
            if workspace in words and verb in words and "runsc" in words[0]:
                return int(path.parent.name)
    return None


async def strike(box: Running, verb: str, signal_: signal.Signals) -> int:
    """Send a signal to the runtime's process as soon as it does `verb`."""

    def hunt() -> int:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            if (pid := sees(box.id, verb)) is not None:
                os.kill(pid, signal_)
                return pid
        raise AssertionError(f"nothing ever did {verb}")

    return await anyio.to_thread.run_sync(hunt)


def nothing_half_made(box: Running) -> None:
    assert not (box.directory / "memory.new").exists()
    shelf = box.installation.data_dir / "host/snapshots"
    assert [p for p in shelf.iterdir() if p.name.startswith(snapshot_id(box))] == []
    assert [v for v in ("pause", "checkpoint", "resume") if sees(box.id, v)] == []


@pytest.mark.parametrize("how", list(STUCK))
async def test_one_that_is_stuck_is_paused_and_kept_all_the_same(box: Running, how: str) -> None:
    pid = await run_stuck(box, STUCK[how])
    with anyio.fail_after(SAFE_S):
        await pauses(box)
        await box.installation.driver.take_snapshot(box.id, box.handle, snapshot_id(box))
    await goes_on(box)
    assert (await box.run(f"kill -0 {pid}")).exit_code == 0
    await box.installation.driver.drop_snapshot(snapshot_id(box))


async def test_one_that_waits_for_a_disk_is_not_paused_and_its_others_go_on(box: Running) -> None:
    """What the host's kernel does not let go of, no checkpoint can have."""
    await run_stuck(box, "")
    with frozen(box.directory / "volume"):
        await anyio.sleep(0.1)  # it writes every 20 ms
        with anyio.fail_after(SAFE_S), pytest.raises(DriverError, match="pause") as raised:
            await box.installation.driver.pause(box.id, box.handle)
        assert raised.value.retry
        nothing_half_made(box)
        with anyio.fail_after(10):
            assert (await box.run("echo here")).stdout == "here\n"
    await goes_on(box)
    await pauses(box)


async def test_one_whose_kernel_stands_still_is_not_paused_and_goes_on_with_it(
    box: Running,
) -> None:
    await run_stuck(box, "")
    sentry = box.pid()
    os.kill(sentry, signal.SIGSTOP)
    try:
        with anyio.fail_after(SAFE_S), pytest.raises(DriverError, match="pause") as raised:
            await box.installation.driver.pause(box.id, box.handle)
    finally:
        os.kill(sentry, signal.SIGCONT)
    assert raised.value.retry
    nothing_half_made(box)
    await goes_on(box)
    await pauses(box)


@pytest.mark.parametrize("verb", ["pause", "checkpoint"])
@pytest.mark.parametrize("signal_", [signal.SIGSTOP, signal.SIGKILL])
@pytest.mark.parametrize("asked", ["pause", "snapshot"])
async def test_a_checkpoint_that_hangs_or_dies_leaves_the_workspace_running(
    box: Running, verb: str, signal_: signal.Signals, asked: str
) -> None:
    await run_stuck(box, "")
    driver = box.installation.driver
    errors: list[DriverError] = []
    with anyio.fail_after(SAFE_S):
        async with anyio.create_task_group() as group:
            group.start_soon(strike, box, verb, signal_)
            try:
                if asked == "pause":
                    await driver.pause(box.id, box.handle)
                else:
                    await driver.take_snapshot(box.id, box.handle, snapshot_id(box))
            except DriverError as error:
                errors.append(error)
    assert [error.retry for error in errors] == [True]
    assert f"runsc {verb} of {box.id}" in str(errors[0])
    nothing_half_made(box)
    await goes_on(box)
    await pauses(box)


@pytest.mark.parametrize("verb", ["pause", "resume"])
async def test_a_runtime_killed_while_it_notes_what_it_did_leaves_the_workspace_running(
    box: Running, verb: str
) -> None:
    await run_stuck(box, "")
    driver, cut = box.installation.driver, box.installation.data_dir / "cut-off"
    cut.write_text(verb)
    with pytest.raises(DriverError, match=f"runsc {verb}"):
        await driver.take_snapshot(box.id, box.handle, snapshot_id(box))
    assert not cut.exists()
    nothing_half_made(box)
    await goes_on(box)
    await pauses(box)


async def test_one_whose_notes_are_cut_off_is_removed_whole(quick: Installation) -> None:
    quick.connect()
    box = await quick.create(a_spec(isolation=Isolation.GVISOR))
    (notes,) = (quick.data_dir / "host/runsc").glob(f"{box.id}_*.state")
    notes.write_text("")
    await box.destroy()
    assert list(await quick.driver.inventory()) == []
    assert list((quick.data_dir / "host/runsc").glob(f"*{box.id}*")) == []
    await quick.disconnect()
