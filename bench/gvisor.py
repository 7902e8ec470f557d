"""The tier `gvisor`: from cold, one more command, and from a snapshot with its processes, beside
runsc alone on the same root file system."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from alcove.host.runtime.runsc import find_runsc
from bench.client import Client
from bench.figures import Figure, median, timed_ms
from bench.workspaces import a_bundle
from demo.instance import Instance

_ROUNDS: Final = 20
_EXECS: Final = 200
_TOOLS: Final = Path(__file__).parents[1] / ".tools"
_FLAGS: Final = (
    "--platform=systrap", "--ignore-cgroups", "--network=none", "--overlay2=none",
)  # fmt: skip


def gvisor(instance: Instance) -> list[Figure]:
    """One more command, and creates from a snapshot."""
    program = find_runsc(_TOOLS)
    with Client(instance.url, instance.token) as client:
        if program is None or "gvisor" not in tiers(client):
            said = "not measured: no tier gvisor here"
            return [Figure("gvisor: exec round trip", "ms", [], "", None, note=said)]
        with a_bundle(instance) as bundle, _bare(program[0], bundle) as bare:
            return _measure(client, bare)


def tiers(client: Client) -> list[str]:
    """The isolation tiers that the instance offers."""
    return [tier for d in client.call("GET", "/server")["drivers"] for tier in d["isolation"]]


def _measure(client: Client, bare: "_Bare") -> list[Figure]:
    origin = _create(client, {"template": "base", "isolation": "gvisor"})
    try:
        execs = [timed_ms(lambda: client.echo(origin)) for _ in range(_EXECS)]
        taken = client.call("POST", f"/workspaces/{origin}/snapshot?wait=60s", {})
        ours: list[float] = []
        floor: list[float] = []
        for n in range(_ROUNDS + 1):
            made: list[str] = []
            ours.append(timed_ms(lambda made=made: made.append(_echoed(client, taken["id"]))))
            client.call("DELETE", f"/workspaces/{made[0]}")
            floor.append(timed_ms(lambda n=n: bare.restore(f"restored-{n}")))
            bare.delete(f"restored-{n}")
        client.call("DELETE", f"/snapshots/{taken['id']}")
    finally:
        client.call("DELETE", f"/workspaces/{origin}")
    ours, floor = ours[1:], floor[1:]
    goal = f"p50 ≤ 1.5 × runsc restore ({1.5 * median(floor):.0f})"
    met = median(ours) <= 1.5 * median(floor)
    return [
        Figure("gvisor: exec round trip", "ms", execs, "told, no goal", None),
        Figure(
            "gvisor: create from a snapshot → first output", "ms", ours, goal, met,
            {"runsc create + restore, bare": floor},
        ),
    ]  # fmt: skip


def _create(client: Client, fields: dict[str, object]) -> str:
    body = {"ephemeral": True, "network": {"mode": "none"}, **fields}
    return str(client.call("POST", "/workspaces?wait=60s", body)["id"])


def _echoed(client: Client, snapshot: str) -> str:
    made = _create(client, {"snapshot": snapshot})
    client.echo(made)
    return made


class _Bare:
    """runsc alone: a sandbox that sleeps, as a checkpoint."""

    def __init__(self, program: str, state: Path, bundle: Path, image: Path) -> None:
        self._command = [program, "--root", str(state), *_FLAGS]
        self._bundle = bundle
        self._image = image

    def prepare(self) -> None:
        self._call("create", "--bundle", str(self._bundle), "first")
        self._call("start", "first")
        self._call("checkpoint", "--compression=none", "--image-path", str(self._image), "first")
        self.delete("first")

    def restore(self, name: str) -> None:
        self._call("create", "--bundle", str(self._bundle), name)
        self._call("restore", "--detach", "--background", "--image-path", str(self._image), name)

    def delete(self, name: str) -> None:
        self._call("delete", "--force", name)

    def _call(self, *arguments: str) -> None:
        subprocess.run(
            [*self._command, *arguments], check=True, timeout=60,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip


@contextmanager
def _bare(program: str, bundle: Path) -> Generator[_Bare]:
    place = Path(tempfile.mkdtemp(prefix="bench-gvisor-", dir="/var/tmp"))
    try:
        own = place / "bundle"
        own.mkdir()
        config = json.loads((bundle / "config.json").read_text())
        config["root"]["path"] = str(bundle / "rootfs")
        config["process"]["args"] = ["/bin/sleep", "1000"]
        for name in ("seccomp", "resources", "cgroupsPath"):
            config["linux"].pop(name, None)
        (own / "config.json").write_text(json.dumps(config))
        made = _Bare(program, place / "state", own, place / "image")
        made.prepare()
        yield made
    finally:
        subprocess.run(["umount", str(place / "state/null-netns")], check=False)
        shutil.rmtree(place, ignore_errors=True)
