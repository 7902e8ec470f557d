"""What a process of a workspace cannot reach, beyond the posture of each start."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from alcove.model.errors import DriverError
from alcove.model.workspace import NetworkMode, Observed, RootMode
from tests.host.installation import HOSTILE, Installation, a_spec, with_network

pytestmark = [pytest.mark.root, pytest.mark.timeout(90)]

BOTH = pytest.mark.parametrize("root", list(RootMode))


async def test_root_none_means_no_way_to_root(installation: Installation) -> None:
    box = await installation.create(a_spec(RootMode.NONE))
    done = await box.run("sudo -n id; su -c id; grep -E 'CapBnd|NoNewPrivs' /proc/self/status")
    assert "uid=0" not in done.stdout
    assert done.stdout.split() == ["CapBnd:", "0000000000000000", "NoNewPrivs:", "1"]
    await box.destroy()


async def test_root_none_means_a_read_only_root(installation: Installation) -> None:
    box = await installation.create(a_spec(RootMode.NONE))
    done = await box.run(
        "touch ~/a /tmp/a /dev/shm/a"
        " && find / -xdev -writable -not -type l | grep -vx -e /tmp -e /home/dev"
    )
    assert done.stdout == ""
    await box.destroy()


async def test_contained_root_installs_packages(installation: Installation) -> None:
    box = await installation.create(a_spec(RootMode.CONTAINED, disk_mib=256))
    script = """
        set -e
        mkdir -p p/DEBIAN p/usr/bin p/var/lib/thing && cd p
        printf '%s\\n' 'Package: thing' 'Version: 1' 'Architecture: all' > DEBIAN/control
        printf '%s\\n' 'Maintainer: x <x@x>' 'Description: x' >> DEBIAN/control
        printf '#!/bin/sh\\nuseradd -r thing && chown thing /var/lib/thing\\n' > DEBIAN/postinst
        chmod 755 DEBIAN/postinst && echo 'echo works' > usr/bin/thing && chmod 755 usr/bin/thing
        cd .. && dpkg-deb --root-owner-group -b p thing.deb >/dev/null
        sudo dpkg -i thing.deb >/dev/null
        thing && stat -c %U /var/lib/thing
    """
    done = await box.run(script)
    assert (done.stdout, done.exit_code) == ("works\nthing\n", 0), done.stderr
    await box.destroy()


@BOTH
async def test_the_kernels_settings_are_read_only(
    installation: Installation, root: RootMode
) -> None:
    box = await installation.create(a_spec(root))
    sudo = "sudo" if root is RootMode.CONTAINED else ""
    names = "/proc/sys/kernel/core_pattern /proc/sysrq-trigger /sys/kernel/uevent_helper"
    done = await box.run(f'for f in {names}; do {sudo} sh -c "echo x > $f" && echo wrote; done')
    assert "wrote" not in done.stdout
    await box.destroy()


@BOTH
async def test_cgroups_cannot_be_changed(installation: Installation, root: RootMode) -> None:
    box = await installation.create(a_spec(root))
    sudo = "sudo" if root is RootMode.CONTAINED else ""
    done = await box.run(
        f"cd /sys/fs/cgroup; for f in $(find . -name release_agent -o -name '*limit_in_bytes'"
        f" -o -name cgroup.procs -o -name '*.max'); do {sudo} sh -c \"echo 1 > $f\" && echo wrote;"
        f" done; {sudo} mkdir memory/x && echo made"
    )
    assert done.stdout == ""
    await box.destroy()


async def test_the_agents_memory_is_closed_to_root_inside(installation: Installation) -> None:
    box = await installation.create(a_spec(RootMode.CONTAINED))
    done = await box.run("sudo cat /proc/1/environ; sudo ls -l /proc/1/fd; sudo cat /proc/1/maps")
    assert "ALCOVE_" not in done.stdout
    assert "host" not in done.stdout
    await box.destroy()


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are those of x86-64")
async def test_mounting_is_closed_to_root_inside(installation: Installation) -> None:
    box = await installation.create(a_spec(RootMode.CONTAINED))
    calls = """
        @s = ("none", "/mnt", "tmpfs", "/tmp");
        print join " ", syscall(165, $s[0], $s[1], $s[2], 0, 0), syscall(166, $s[3], 2),
            syscall(272, 0x20000), syscall(161, $s[3]);
    """
    done = await box.run(f"sudo perl -e '{calls}'")
    assert done.stdout == "-1 -1 -1 -1"
    await box.destroy()


async def test_device_nodes_cannot_be_made(installation: Installation) -> None:
    box = await installation.create(a_spec(RootMode.CONTAINED))
    done = await box.run("sudo mknod /opt/mem c 1 1; sudo cat /dev/mem /dev/loop0 /dev/vda; true")
    assert done.stdout == ""
    assert (await box.run("ls /opt")).stdout == ""
    await box.destroy()


async def test_no_network_but_loopback(installation: Installation) -> None:
    box = await installation.create()
    assert (await box.run("tail -n +3 /proc/net/dev | cut -d: -f1")).stdout.split() == ["lo"]
    await box.destroy()


async def test_abstract_sockets_of_the_host_are_not_there(installation: Installation) -> None:
    box = await installation.create()
    assert (await box.run("grep -c @ /proc/net/unix")).stdout == "0\n"
    await box.destroy()


async def test_the_limits_are_the_specs(installation: Installation) -> None:
    spec = a_spec(memory_mib=200, pids=77, cpu_millis=500)
    box = await installation.create(spec)
    limits = installation.cgroups().limits(box.id)
    assert (limits.memory_bytes, limits.pids, limits.cpu_millis) == (200 << 20, 77, 500)
    assert limits.swap_bytes in (None, 200 << 20)
    await box.destroy()


async def test_the_runtimes_program_is_as_before(installation: Installation) -> None:
    runc = Path(shutil.which("runc") or "")
    before = _digest(runc)
    box = await installation.create(a_spec(RootMode.CONTAINED))
    await box.run("sudo sh -c 'cat /proc/1/exe > /opt/agent; echo x > /proc/1/exe'; true")
    await box.stop()
    assert _digest(runc) == before
    await box.destroy()


@pytest.mark.parametrize("kind", ["proc", "dev", "sys", "etc", "home", "tmp", "all"])
async def test_an_image_with_links_where_mounts_go_is_harmless(
    hostile_installation: Installation, kind: str
) -> None:
    installation, target = hostile_installation, hostile_installation.hostile_target
    names = ["proc", "dev", "sys", "etc", "home", "tmp"] if kind == "all" else [kind]
    installation.plant(names)
    before = _tree(target)
    try:
        box = await installation.create(a_spec(image=HOSTILE))
        assert "on /proc" not in (await box.run("readlink /proc /dev /sys /home /tmp")).stdout
        await box.destroy()
    except DriverError:
        # Refused is as good; what counts is that nothing happened to the host.
        assert (await installation.driver.inventory()) is not None
    assert _tree(target) == before


async def test_an_image_with_links_below_dev_is_harmless(
    hostile_installation: Installation,
) -> None:
    installation = hostile_installation
    layer = installation.hostile_layer
    (layer / "dev").mkdir()
    for name in ("null", "pts", "shm", "console"):
        (layer / "dev" / name).symlink_to(installation.hostile_target / name)
    before = _tree(installation.hostile_target)
    box = await installation.create(a_spec(image=HOSTILE))
    assert (await box.run("echo x > /dev/null && echo fine")).stdout == "fine\n"
    await box.destroy()
    assert _tree(installation.hostile_target) == before


@pytest.mark.parametrize(
    ("control", "reason"),
    [
        ("seccomp", "system call"),
        ("capabilities", "capabilities"),
        ("masked", "can be read"),
        ("limits", "has no limit"),
    ],
)
async def test_a_missing_control_stops_the_start(
    weak_installation: Installation, control: str, reason: str
) -> None:
    weak_installation.weaken(control)
    box = weak_installation.new_id()
    with pytest.raises(DriverError, match=reason) as raised:
        await weak_installation.create(a_spec(RootMode.CONTAINED), box)
    assert raised.value.retry is False
    assert (await weak_installation.driver.observe(box, None)).state is Observed.EXITED
    await weak_installation.driver.destroy(box, None)


async def test_an_unenforced_network_mode_is_refused(installation: Installation) -> None:
    box = installation.new_id()
    with pytest.raises(Exception, match="allowlist is not enforced"):
        await installation.create(with_network(a_spec(), NetworkMode.ALLOWLIST), box)
    assert (await installation.driver.observe(box, None)).state is Observed.ABSENT


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _tree(path: Path) -> list[tuple[str, int, int]]:
    return [(str(p), p.lstat().st_mtime_ns, p.lstat().st_size) for p in sorted(path.rglob("*"))]


async def test_the_host_process_gave_up_what_it_does_not_need(installation: Installation) -> None:
    assert installation.process is not None
    status = Path(f"/proc/{installation.process.pid}/status").read_text()  # noqa: ASYNC240 - procfs
    held = {line.split(":\t")[0]: line.split(":\t")[1] for line in status.splitlines()}
    given_up = 1 << 16 | 1 << 17 | 1 << 22 | 1 << 25 | 1 << 34 | 1 << 39  # module … bpf
    assert all(int(held[name], 16) & given_up == 0 for name in ("CapEff", "CapPrm", "CapBnd"))


@BOTH
async def test_low_ports_are_everybodys_in_a_namespace_of_ones_own(
    installation: Installation, root: RootMode
) -> None:
    box = await installation.create(a_spec(root))
    listen = "use Socket; socket(S, AF_INET, SOCK_STREAM, 0); bind(S, sockaddr_in(80, INADDR_ANY))"
    done = await box.run(f"perl -e '{listen} and print q(bound)'")
    assert done.stdout == "bound"
    await box.destroy()


@BOTH
async def test_ping_needs_no_raw_socket(installation: Installation, root: RootMode) -> None:
    box = await installation.create(a_spec(root))
    ask = "use Socket; print socket(S, AF_INET, $_, 1) ? 1 : 0 for (SOCK_DGRAM, SOCK_RAW)"
    assert (await box.run(f"perl -e '{ask}'")).stdout == "10"
    await box.destroy()
