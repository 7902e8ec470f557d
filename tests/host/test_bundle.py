"""The runtime's configuration says what the Spec promises."""

import json
import platform
from pathlib import Path
from typing import Any

import pytest

from alcove.host import bundle, seccomp
from alcove.host.settings import ID_SPAN
from alcove.model.workspace import RootMode, Spec
from tests.host.installation import a_spec


def _config(spec: Spec) -> dict[str, Any]:
    given = bundle.Bundle(
        rootfs=Path("/r"),
        first_id=1 << 30,
        cgroup="/alcove/x",
        environment={"A": "b"},
        seccomp={"defaultAction": "SCMP_ACT_ERRNO"},
        swap_limit=True,
        nofile_max=4096,
    )
    return bundle.config(spec, given)


def test_the_shipped_filter_is_the_modules_output() -> None:
    assert seccomp.FILE.read_text() == seccomp.text()


def test_the_filter_names_one_architecture() -> None:
    assert len(seccomp.load()["architectures"]) == 1
    assert platform.machine()[:3].upper() in seccomp.load()["architectures"][0].upper()


@pytest.mark.parametrize(
    "name",
    [
        "io_uring_enter",
        "keyctl",
        "add_key",
        "request_key",
        "bpf",
        "userfaultfd",
        "perf_event_open",
        "unshare",
        "setns",
        "mount",
        "umount2",
        "pivot_root",
        "fsopen",
        "open_tree",
        "move_mount",
        "kexec_load",
        "init_module",
        "finit_module",
        "open_by_handle_at",
        "swapon",
        "reboot",
        "iopl",
        "ioperm",
        "quotactl",
        "settimeofday",
        "clock_settime",
        "mount_setattr",
        "pidfd_getfd",
        "kcmp",
        "delete_module",
        "syslog",
        "acct",
        "vhangup",
    ],
)  # fmt: skip
def test_the_filter_does_not_allow(name: str) -> None:
    allowing = [
        rule
        for rule in seccomp.profile(machine="x86_64")["syscalls"]
        if name in rule["names"] and rule["action"] == "SCMP_ACT_ALLOW"
    ]
    assert allowing == []


def test_every_namespace_is_its_own() -> None:
    kinds = {n["type"] for n in _config(a_spec())["linux"]["namespaces"]}
    assert kinds == {"user", "pid", "network", "ipc", "uts", "mount", "cgroup"}
    assert all("path" not in n for n in _config(a_spec())["linux"]["namespaces"])


def test_root_inside_is_nobody_outside() -> None:
    linux = _config(a_spec(RootMode.CONTAINED))["linux"]
    assert linux["uidMappings"] == [{"containerID": 0, "hostID": 1 << 30, "size": ID_SPAN}]
    assert linux["gidMappings"] == linux["uidMappings"]


def test_limits_are_the_specs() -> None:
    spec = a_spec(memory_mib=100, cpu_millis=1500, pids=9)
    resources = _config(spec)["linux"]["resources"]
    assert resources["memory"] == {"limit": 100 << 20, "swap": 100 << 20}
    assert resources["cpu"]["quota"] / resources["cpu"]["period"] == 1.5
    assert resources["pids"] == {"limit": 9}


def test_root_none_has_the_read_only_root_and_no_new_privileges() -> None:
    config = _config(a_spec(RootMode.NONE))
    assert config["root"]["readonly"] is True
    assert config["process"]["noNewPrivileges"] is True


@pytest.mark.parametrize("root", list(RootMode))
def test_capabilities_are_neither_inherited_nor_ambient(root: RootMode) -> None:
    held = _config(a_spec(root))["process"]["capabilities"]
    assert held["inheritable"] == held["ambient"] == []
    assert set(held["bounding"]).isdisjoint(
        {"CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_PTRACE", "CAP_MKNOD",
         "CAP_SYS_MODULE", "CAP_DAC_READ_SEARCH", "CAP_BPF", "CAP_SYS_RESOURCE"}
    )  # fmt: skip


def test_every_tmpfs_is_bounded() -> None:
    for one in _config(a_spec())["mounts"]:
        if one["type"] == "tmpfs":
            assert any(o.startswith("size=") for o in one["options"])
            assert any(o.startswith("nr_inodes=") for o in one["options"])


def test_nothing_of_the_host_is_mounted() -> None:
    kinds = {one["type"] for one in _config(a_spec())["mounts"]}
    assert kinds == {"proc", "tmpfs", "devpts", "sysfs", "cgroup"}


def test_the_configuration_is_json() -> None:
    assert json.loads(json.dumps(_config(a_spec())))["hostname"] == "box"
