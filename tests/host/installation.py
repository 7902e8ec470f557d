"""A whole installation for tests: the real privileged process in a process of its own, with a real
image and the real agent, below a short directory of its own and under a name of its own."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, Final

import anyio

from alcove.core.agent import Agents, Call, Reach
from alcove.core.frames import Frame
from alcove.drivers.local import LocalDriver
from alcove.host.cgroups import Cgroups
from alcove.host.mounts import mounts_below
from alcove.host.syscalls import unmount
from alcove.model.errors import DriverError
from alcove.model.image import DebianImage, Image
from alcove.model.workspace import (
    Handle,
    Isolation,
    NetworkMode,
    Resources,
    RootMode,
    Spec,
    WorkspaceId,
)

CACHE: Final = Path("/var/tmp/alcove-tests")
ROOT: Final = Path(__file__).parents[2]
SERVER_USER: Final = "nobody"
IMAGE: Final = DebianImage("bookworm", ("sudo",), "dev", True)
HOSTILE: Final = DebianImage("bookworm", ("hostile",), "dev", True)
_BASE32: Final = "abcdefghijklmnopqrstuvwxyz234567"
_START_TIMEOUT_S: Final = 20.0


def essential() -> Path:
    """A small Debian root file system with sudo, made once and kept between runs."""
    path = CACHE / "essential-1"
    if not path.exists():
        CACHE.mkdir(exist_ok=True)
        half = CACHE / f"essential.{os.getpid()}"
        subprocess.run(
            ["mmdebstrap", "--mode=root", "--variant=apt", "--include=sudo,passwd,python3-minimal",
             "--customize-hook=chroot $1 useradd -m -u 1000 -s /bin/bash dev",
             "--customize-hook=echo 'dev ALL=(ALL) NOPASSWD: ALL' > $1/etc/sudoers.d/dev",
             "bookworm", str(half)],
            check=True, capture_output=True, timeout=300,
        )  # fmt: skip
        try:
            half.rename(path)
        except OSError:  # another worker was quicker
            shutil.rmtree(half)
    return path


def agent() -> Path:
    """The agent, built from this checkout's sources."""
    if shutil.which("go") is None:
        return ROOT / "src/alcove/bin/alcove-agent"
    CACHE.mkdir(exist_ok=True)
    half = CACHE / f"agent.{os.getpid()}"
    environment = {**_environment(), "CGO_ENABLED": "0"}
    subprocess.run(
        ["go", "build", "-trimpath", "-o", str(half), "./"],
        cwd=ROOT / "agent",
        check=True,
        env=environment,
        timeout=300,
    )
    return half.rename(CACHE / "agent")


def _environment() -> dict[str, str]:
    return dict(os.environ)  # noqa: TID251 - what go and Python need is the caller's


@dataclass(frozen=True, slots=True)
class Output:
    exit_code: int | None
    signal: str | None
    stdout: str
    stderr: str


@dataclass
class Installation:
    """Start it with `up`; `driver` speaks to it. Every workspace id that it gives is unique."""

    name: str
    layers: Mapping[str, Sequence[Path]]
    agent: Path
    changes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    under: Sequence[str] = ()
    """A program that executes the rest of its arguments in other surroundings."""
    process: subprocess.Popen[bytes] | None = None
    _ids: Any = field(default_factory=count)

    def __post_init__(self) -> None:
        self.data_dir = Path("/var/tmp") / f"alcove-{self.name}"
        self.connect()

    def connect(self) -> None:
        self.driver = LocalDriver(self.data_dir / "run")
        self.agents = Agents(self.driver, secret=b"tests")

    async def disconnect(self) -> None:
        await self.agents.aclose()
        await self.driver.aclose()

    @property
    def crash_file(self) -> Path:
        return self.data_dir / "crash-at"

    @property
    def log(self) -> Path:
        return self.data_dir / "log"

    def up(self) -> None:
        """Start the host process and wait until it listens."""
        self.data_dir.mkdir(exist_ok=True)
        settings = {
            "data_dir": str(self.data_dir),
            "agent": str(self.agent),
            "instance": self.name,
            "server_user": SERVER_USER,
            "tools": str(ROOT / ".tools"),
            "crash_file": str(self.crash_file),
            "layers": {k: [str(p) for p in v] for k, v in self.layers.items()},
            **self.changes,
        }
        path = self.data_dir / "settings.json"
        path.write_text(json.dumps(settings))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.under, sys.executable, "-m", "tests.host.serving", str(path)],
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self.listens():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the host process did not start: {self.log.read_text()}")
            time.sleep(0.01)

    def listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.data_dir / "run/host.sock")) == 0

    def kill(self) -> None:
        """kill -9 of the host process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def end(self) -> None:
        """SIGTERM to the host process."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=30)

    def tear_down(self) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*self.under, sys.executable, "-m", "tests.host.serving",
             str(self.data_dir / "settings.json"),
             "--teardown"],
            cwd=ROOT, capture_output=True, timeout=60, check=False,
        )  # fmt: skip

    def remove(self) -> None:
        """Everything of it, so that the next test begins on clean ground."""
        self.kill()
        done = self.tear_down()
        assert done.returncode == 0, done.stderr.decode()
        shutil.rmtree(self.data_dir)

    def cgroups(self) -> Cgroups:
        return Cgroups(self.name)

    def lose_the_kernel(self, workspace: WorkspaceId, pid: int) -> None:
        """Take away what a restart of the machine does: processes, mounts, cgroups."""
        os.kill(pid, signal.SIGKILL)
        cgroups = self.cgroups()
        assert cgroups.kill(workspace, timeout_s=10)
        for point in reversed(self.mounts()):
            unmount(point, lazy=True)
        assert cgroups.remove(workspace, timeout_s=10) == []
        path = self.data_dir / "host/workspaces" / workspace / "state.json"
        path.with_name("state.now.json").unlink(missing_ok=True)
        state = json.loads(path.read_text())
        state["record"]["process"]["kernel"] = "an earlier one"
        path.write_text(json.dumps(state))

    def lose_the_mounts(self, workspace: WorkspaceId) -> None:
        """What a restart of the machine takes from one that is paused with nothing running."""
        for point in reversed(self.mounts()):
            unmount(point, lazy=True)
        assert self.cgroups().remove(workspace, timeout_s=10) == []

    def hold_images(self, state: str) -> None:
        """Have every image in `state` from now on: "ready", "building" or "failed"."""
        if state == "ready":
            (self.data_dir / "held").unlink(missing_ok=True)
        else:
            (self.data_dir / "held").write_text(state)

    def weaken(self, control: str) -> None:
        """Take one control away from the next start: see `tests.host.serving`."""
        (self.data_dir / "weak").write_text(control)

    @property
    def hostile_layer(self) -> Path:
        return Path(next(iter(self.layers[HOSTILE.key][1:])))

    @property
    def hostile_target(self) -> Path:
        """A directory of the host that the hostile image's links lead to."""
        return self.hostile_layer.with_name("target")

    def plant(self, names: Sequence[str]) -> None:
        """Make the hostile layer's top directories links to the host."""
        for name in names:
            (self.hostile_layer / name).symlink_to(self.hostile_target / name)
            (self.hostile_target / name).mkdir()
            (self.hostile_target / name / "marker").write_text("the host's")

    def mounts(self) -> list[Path]:
        return mounts_below(self.data_dir)

    def new_id(self) -> WorkspaceId:
        number = next(self._ids)
        digest = hashlib.sha256(f"{self.name}{number}".encode()).digest()
        return WorkspaceId("ws-" + "".join(_BASE32[b % 32] for b in digest[:16]))

    def control_key(self, workspace: WorkspaceId) -> str:
        return self.agents.control_key(workspace)

    async def create(
        self, spec: Spec | None = None, workspace: WorkspaceId | None = None
    ) -> "Running":
        workspace = workspace or self.new_id()
        spec = spec or a_spec()
        key = self.control_key(workspace)
        handle = await self.driver.create(workspace, spec, control_key=key)
        return await self.running(workspace, handle, spec)

    async def until_only(self, workspace: WorkspaceId, what: set[str]) -> None:
        """Wait until nothing but `what` is left of it on the host."""
        with anyio.fail_after(20):
            while True:
                found = {o.workspace: set(o.what) for o in await self.driver.inventory()}
                if found.get(workspace, set()) == what:
                    return
                await anyio.sleep(0.02)

    async def running(self, workspace: WorkspaceId, handle: Handle, spec: Spec) -> "Running":
        seen = await self.driver.observe(workspace, handle)
        reach = Reach(workspace, handle, seen.boot)
        await self.agents.init(reach, {"env": {}, "user": spec.user})
        return Running(self, workspace, handle, spec, reach)


@dataclass(frozen=True)
class Running:
    """A started workspace and a way to do things in it."""

    installation: Installation
    id: WorkspaceId
    handle: Handle
    spec: Spec
    reach: Reach

    @property
    def directory(self) -> Path:
        return self.installation.data_dir / "host/workspaces" / self.id

    async def run(self, script: str, *, user: str | None = None, timeout_s: float = 60) -> Output:
        """A shell script, run by the agent as the workspace's user."""
        call = Call(["/bin/sh", "-c", script], user=user, timeout_s=timeout_s)
        out, err = bytearray(), bytearray()
        ended: dict[str, Any] = {}
        async with self.installation.agents.exec(self.reach, call) as frames:
            async for kind, payload in frames:
                match kind:
                    case Frame.STDOUT:
                        out += payload
                    case Frame.STDERR:
                        err += payload
                    case Frame.EXIT:
                        ended = json.loads(payload)
                    case _:
                        continue
        return Output(
            ended.get("exit_code"), ended.get("signal"), out.decode(errors="replace"),
            err.decode(errors="replace"),
        )  # fmt: skip

    async def stop(self, *, grace_s: float = 5) -> None:
        await self.installation.driver.stop(self.id, self.handle, grace_s=grace_s)

    async def start(self, **changes: Any) -> "Running":
        spec = replace(self.spec, **changes)
        key = self.installation.control_key(self.id)
        handle = await self.installation.driver.start(self.id, self.handle, spec, control_key=key)
        return await self.installation.running(self.id, handle, spec)

    async def destroy(self) -> None:
        removal = await self.installation.driver.destroy(self.id, self.handle)
        assert removal.left == ()

    def from_outside(self, name: str) -> str:
        """A file of the first process's directory in the host's /proc."""
        return Path(f"/proc/{self.pid()}/{name}").read_text()

    async def ended(self) -> str:
        """Wait until it is EXITED; answers why."""
        with anyio.fail_after(20):
            while True:
                seen = await self.installation.driver.observe(self.id, self.handle)
                if seen.state == "exited":
                    return seen.detail
                await anyio.sleep(0.02)

    def pid(self) -> int:
        state = json.loads((self.directory / "state.json").read_text())
        return int(state["record"]["process"]["pid"])


def a_spec(
    root: RootMode = RootMode.NONE,
    *,
    image: Image = IMAGE,
    user: str = "dev",
    memory_mib: int = 256,
    disk_mib: int = 128,
    pids: int = 128,
    cpu_millis: int = 1000,
    isolation: Isolation = Isolation.CONTAINER,
) -> Spec:
    return Spec(
        image=image,
        isolation=isolation,
        root=root,
        user=user,
        hostname="box",
        resources=Resources(cpu_millis, memory_mib, disk_mib, pids),
        network=NetworkMode.NONE,
        ephemeral=True,
    )


def with_network(spec: Spec, network: NetworkMode) -> Spec:
    return replace(spec, network=network)


async def answers(driver: LocalDriver) -> bool:
    try:
        await driver.hello()
    except DriverError:
        return False
    return True
