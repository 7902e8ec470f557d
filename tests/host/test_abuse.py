"""What a hostile program does to itself, and not to the host or the neighbours."""

import base64
import os
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

import pytest

from alcove.model.errors import Unavailable
from alcove.model.workspace import Observed, RootMode
from tests.host.installation import Installation, Running, a_spec

pytestmark = [pytest.mark.root, pytest.mark.timeout(90)]


@pytest.fixture
async def neighbour(installation: Installation) -> AsyncGenerator[Running]:
    box = await installation.create()
    yield box
    started = time.monotonic()
    assert (await box.run("echo well")).stdout == "well\n"
    assert time.monotonic() - started < 5
    await box.destroy()


async def test_a_fork_bomb_ends_at_its_own_limit(
    installation: Installation, neighbour: Running
) -> None:
    box = await installation.create(a_spec(pids=64))
    await box.run("f() { f | f & }; f; sleep 1", timeout_s=3)
    used = (await installation.driver.usage([box.id]))[box.id]
    assert used.pids <= 64
    await box.stop(grace_s=1)
    await box.destroy()


async def test_a_memory_hog_is_killed_and_counted(
    installation: Installation, neighbour: Running
) -> None:
    box = await installation.create(a_spec(memory_mib=64))
    done = await box.run("python3 -c 'x = bytearray(200 << 20)'")
    assert done.signal is not None or done.exit_code == 137
    assert (await installation.driver.usage([box.id]))[box.id].oom_kills == 1
    assert (await box.run("echo alive")).stdout == "alive\n"
    await box.destroy()


async def test_memory_in_tmp_counts_too(installation: Installation) -> None:
    box = await installation.create(a_spec(memory_mib=64))
    done = await box.run("head -c 200M /dev/zero > /tmp/big")
    assert done.exit_code != 0
    await box.destroy()


async def test_a_full_disk_is_full_inside_only(
    installation: Installation, neighbour: Running
) -> None:
    box = await installation.create(a_spec(disk_mib=64))
    done = await box.run(
        "head -c 200M /dev/zero > ~/big; rm ~/big; echo room > ~/again; cat ~/again"
    )
    assert "No space left on device" in done.stderr
    assert done.stdout == "room\n"
    await box.destroy()


async def test_what_root_writes_outside_home_has_the_same_limit(
    installation: Installation,
) -> None:
    box = await installation.create(a_spec(RootMode.CONTAINED, disk_mib=64))
    done = await box.run("sudo sh -c 'head -c 200M /dev/zero > /opt/big'")
    assert "No space left on device" in done.stderr
    await box.destroy()


async def test_inodes_run_out_inside_only(installation: Installation, neighbour: Running) -> None:
    box = await installation.create(a_spec(disk_mib=64))
    done = await box.run(
        "mkdir ~/many; cd ~/many; seq 1 6000 | xargs touch 2>&1 | tail -1; ls | wc -l"
    )
    assert "No space left on device" in done.stdout
    assert int(done.stdout.split()[-1]) < 4200
    await box.destroy()


async def test_stop_ends_what_ignores_sigterm(installation: Installation) -> None:
    box = await installation.create()
    await box.run(
        "setsid sh -c \"trap '' TERM INT HUP; while :; do sleep 100; done\" >/dev/null 2>&1 &"
    )
    started = time.monotonic()
    await box.stop(grace_s=1)
    assert time.monotonic() - started < 8
    assert (await installation.driver.observe(box.id, None)).state is Observed.EXITED
    await box.destroy()


async def test_the_user_cannot_kill_the_agent(installation: Installation) -> None:
    box = await installation.create()
    await box.run("kill -9 1; kill -9 -1; true")
    assert (await box.run("echo alive")).stdout == "alive\n"
    await box.destroy()


async def test_root_inside_cannot_kill_the_agent_either(installation: Installation) -> None:
    box = await installation.create(a_spec(RootMode.CONTAINED))
    await box.run("sudo kill -9 1; sudo kill -SEGV 1; true")
    assert (await box.run("echo alive")).stdout == "alive\n"
    await box.destroy()


async def test_a_dead_agent_is_seen_with_its_reason_and_cleared_away(
    installation: Installation,
) -> None:
    box = await installation.create()
    os.kill(box.pid(), 9)
    assert await box.ended() == "the agent was killed by signal 9"
    await installation.until_only(box.id, {"record", "volume"})
    box = await box.start()
    assert (await box.run("echo back")).stdout == "back\n"
    await box.destroy()


async def test_an_agent_out_of_memory_says_so(installation: Installation) -> None:
    box = await installation.create(a_spec(memory_mib=64))
    # The first process is made the first to go, as the kernel may choose when all are small.
    Path(f"/proc/{box.pid()}/oom_score_adj").write_text("1000")  # noqa: ASYNC240 - procfs
    with suppress(Unavailable):  # it may be gone before it has told how that ended
        await box.run(
            "for i in 1 2 3 4 5 6 7 8; do head -c 16M /dev/zero | tail & done; wait", timeout_s=5
        )
    used = await installation.driver.usage([box.id])
    if (await installation.driver.observe(box.id, None)).state is Observed.EXITED:
        assert await box.ended() == "out of memory"
    else:
        assert used[box.id].oom_kills > 0
    await box.destroy()


async def test_a_log_flood_is_bounded(installation: Installation) -> None:
    box = await installation.create(a_spec(disk_mib=64))
    before = box.installation.log.stat().st_size
    await box.run(
        "timeout 2 yes 'a line of a log that nobody reads' >&2 | head -c 1000", timeout_s=4
    )
    assert box.installation.log.stat().st_size - before < 10_000
    assert (box.directory / "volume/agent.log").stat().st_size < 1 << 20
    await box.destroy()


async def test_a_tree_too_deep_for_recursion_is_dropped_at_stop(
    installation: Installation,
) -> None:
    box = await installation.create(a_spec(RootMode.CONTAINED))
    script = "import os\nos.chdir('/opt')\nfor _ in range(3000): os.mkdir('d'); os.chdir('d')\n"
    assert (await box.run(f'sudo python3 -c "{script}"')).stderr == ""
    await box.stop()
    box = await box.start()
    assert (await box.run("ls -A /opt")).stdout == ""
    await box.destroy()


_GETPID_AND_EXIT = {
    # mov eax, 20; int 0x80 — getpid of the 32-bit table
    "int80": "b814000000cd80",
    # mov eax, 0x40000000 | 39; syscall — getpid of the x32 table
    "x32": "b8270000400f05",
    # mov eax, 39; syscall — the native one, which shows that the program itself works
    "native": "b8270000000f05",
}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="other tables exist on x86 only")
@pytest.mark.parametrize(("table", "ends_well"), [("int80", 0), ("x32", 0), ("native", 1)])
async def test_other_system_call_tables_are_closed(
    installation: Installation, table: str, ends_well: int
) -> None:
    box = await installation.create()
    program = base64.b64encode(_elf(_GETPID_AND_EXIT[table])).decode()
    done = await box.run(f"echo {program} | base64 -d > ~/p; chmod +x ~/p; ~/p && echo passed")
    assert done.stdout.count("passed") == ends_well
    await box.destroy()


def _elf(code: str) -> bytes:
    """A program of these instructions, which then ends with 0 if eax is positive, else with 1."""
    # test eax, eax; setle dil; movzx edi, dil; mov eax, 60; syscall
    body = bytes.fromhex(code + "85c0400f9ec7400fb6ffb83c0000000f05")
    base, header = 0x400000, 64 + 56
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += (2).to_bytes(2, "little") + (62).to_bytes(2, "little") + (1).to_bytes(4, "little")
    head += (base + header).to_bytes(8, "little") + (64).to_bytes(8, "little") + bytes(8)
    head += bytes(4) + b"".join(n.to_bytes(2, "little") for n in (64, 56, 1, 0, 0, 0))
    size = (header + len(body)).to_bytes(8, "little")
    segment = (1).to_bytes(4, "little") + (5).to_bytes(4, "little") + bytes(8)
    segment += base.to_bytes(8, "little") * 2 + size * 2 + (0x1000).to_bytes(8, "little")
    return head + segment + body
