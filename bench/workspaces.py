"""A workspace from cold, and commands in a running one, over HTTP."""

import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.client import Client
from bench.docker import docker
from bench.figures import Figure, median, quantile, timed_ms
from demo.instance import Instance

_COLD, _EXECS = 30, 500
_PATIENCE_S = 900.0
"""For images that are built first."""


def prepare(instance: Instance) -> None:
    """Have the image of template `base`, which the first run on a machine builds."""
    deadline = time.monotonic() + _PATIENCE_S
    with Client(instance.url, instance.token) as client:
        made = client.call("POST", "/workspaces", {"template": "base", "ephemeral": True})["id"]
        while (found := client.call("GET", f"/workspaces/{made}"))["phase"] != "running":
            if found["phase"] == "failed" or time.monotonic() > deadline:
                raise RuntimeError(f"no workspace of base: {found['reason']}")
            time.sleep(0.2)
        client.call("DELETE", f"/workspaces/{made}?wait=60s")


def cold(instance: Instance) -> list[Figure]:
    """Create → first output, beside `runc run` and `docker run` of the same root file system."""
    ours: list[float] = []
    bare: list[float] = []
    theirs: list[float] = []
    with (
        Client(instance.url, instance.token) as client,
        a_bundle(instance) as bundle,
        docker(bundle / "rootfs") as container,
    ):
        for n in range(_COLD + 2):
            made: list[str] = []
            ours.append(timed_ms(lambda made=made: made.append(_create_and_echo(client))))
            client.call("DELETE", f"/workspaces/{made[0]}")
            bare.append(timed_ms(lambda n=n: _runc(bundle, f"bench-{n}")))
            if container.run:
                theirs.append(timed_ms(container.run))
    ours, bare, theirs = ours[2:], bare[2:], theirs[2:]
    floors = {"runc run, same rootfs": bare} | ({"docker run --rm": theirs} if theirs else {})
    met = median(ours) <= 3 * median(bare)
    goal = f"p50 ≤ 3 × runc run ({3 * median(bare):.0f})"
    name = "cold create → first output"
    note = container.why_not and f"docker run --rm: {container.why_not}"
    return [Figure(name, "ms", ours, goal, met, floors, note)]


def execs(instance: Instance) -> list[Figure]:
    """Round trips of one `echo` after the other, and a hundred at once."""
    with Client(instance.url, instance.token) as client, running_workspace(client) as workspace:
        for _ in range(20):
            client.echo(workspace)
        samples = [timed_ms(lambda: client.echo(workspace)) for _ in range(_EXECS)]
        errors: list[BaseException] = []
        burst = timed_ms(lambda: _hundred(instance, workspace, errors))
    met = quantile(samples, 0.5) <= 5 and quantile(samples, 0.95) <= 15
    return [
        Figure("exec round trip", "ms", samples, "p50 ≤ 5, p95 ≤ 15", met),
        Figure("100 execs at once, all done", "ms", [burst], "no error", not errors),
    ]


def _create_and_echo(client: Client) -> str:
    body = {"template": "base", "ephemeral": True, "network": {"mode": "none"}}
    made = client.call("POST", "/workspaces?wait=30s", body)
    client.echo(made["id"])
    return str(made["id"])


@contextmanager
def running_workspace(client: Client) -> Generator[str]:
    """The id of one without a network, which is deleted at the end."""
    body = {"template": "base", "ephemeral": True, "network": {"mode": "none"}}
    made = client.call("POST", "/workspaces?wait=30s", body)
    try:
        yield str(made["id"])
    finally:
        client.call("DELETE", f"/workspaces/{made['id']}")


def _hundred(instance: Instance, workspace: str, errors: list[BaseException]) -> None:
    def one() -> None:
        try:
            with Client(instance.url, instance.token) as client:
                client.echo(workspace)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextmanager
def a_bundle(instance: Instance) -> Generator[Path]:
    """An ordinary runc bundle whose root file system is the image of template `base`."""
    with tempfile.TemporaryDirectory() as name:
        bundle = Path(name)
        subprocess.run(["runc", "spec", "--bundle", name], check=True)
        config: dict[str, Any] = json.loads((bundle / "config.json").read_text())
        config["process"] |= {"args": ["echo", "hi"], "terminal": False}
        config["root"]["readonly"] = True
        (bundle / "config.json").write_text(json.dumps(config))
        layers = _layers(instance)
        (bundle / "rootfs").mkdir()
        (bundle / "empty").mkdir()
        lower = ":".join(str(p) for p in [bundle / "empty", *reversed(layers)])
        mount = ["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={lower}"]
        subprocess.run([*mount, str(bundle / "rootfs")], check=True)
        try:
            yield bundle
        finally:
            subprocess.run(["umount", str(bundle / "rootfs")], check=True)


def _layers(instance: Instance) -> list[Path]:
    """The directories of the smallest image, which is that of `base`, bottom first."""
    images = instance.layout.data_dir / "host/images"
    records = [json.loads(p.read_text()) for p in (images / "records").glob("*.json")]
    if not records:
        raise RuntimeError(f"no unpacked image below {images}")
    smallest = min(records, key=lambda record: int(record["size_bytes"]))
    return [images / "layers" / name / "tree" for name in smallest["layers"]]


def _runc(bundle: Path, name: str) -> None:
    words = ["runc", "--root", str(bundle / "state"), "run", "--bundle", str(bundle), name]
    done = subprocess.run(words, capture_output=True, check=True)
    assert done.stdout == b"hi\n"
