"""Workspaces from a pool, over HTTP: one by one, in bursts, and how quickly it refills."""

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.client import Client
from bench.docker import docker
from bench.figures import Figure, median, quantile, timed_ms
from bench.floor import floor
from bench.gvisor import tiers
from bench.workspaces import a_bundle
from demo.instance import Instance

_ONE_BY_ONE, _POOL = 100, 60
_EVERY_S = 0.2
_BURSTS = ((100, 1000), (200, 2200))
_WARM_UP, _PAIRS = 5, 12
_SETTLE_S = 0.15
"""What Docker tidies up after an answer is not to be paid by the next of ours."""
_REST_S = 10.0
"""So long a pool that was told to be as slow as can be begins no other member after one."""
_NOTICED_S = 2.2
"""After this the pool's keeper has begun what it begins after a claim."""
_TEMPLATE = "bench-pooled"
_SENTRIES, _SENTRY_POOL, _SENTRY_EVERY_S = "bench-sentries", 40, 0.6
_REFERENCE = "OpenSandbox 1.1.1"
_REFERENCE_OUTPUT_MS, _REFERENCE_OUTPUT_P95_MS, _REFERENCE_COMMAND_MS = 654, 872, 8
_REFERENCE_NOTE = (
    "a reference figure, measured on such a machine before and not in this run (its images come "
    f"from registries): {_REFERENCE} with Docker, create → output p50 {_REFERENCE_OUTPUT_MS} ms, "
    f"p95 {_REFERENCE_OUTPUT_P95_MS} ms; second command {_REFERENCE_COMMAND_MS} ms"
)
_RECIPE = """
name: bench-pooled
kind: agent
isolation: container
root: contained
image:
  debian: bookworm
  packages: [
    bash-completion, ca-certificates, curl, git, iproute2, jq, less, make, openssh-client,
    procps, ripgrep, rsync, unzip, vim-tiny, xz-utils,
  ]
resources: {cpu: 1, memory: 512Mi, disk: 1Gi, pids: 256}
lifecycle: {idle_stop: 1h}
"""


def pools(instance: Instance) -> list[Figure]:
    """Create → first output with environment and time to live given, beside `docker run`."""
    with Client(instance.url, instance.token) as client:
        client.call("POST", "/templates", {"files": {"template.yaml": _RECIPE}})
        try:
            return [
                *_one_by_one(client),
                *_against_docker(client, instance),
                *_under_gvisor(client),
                *[_burst(client, instance, many, goal) for many, goal in _BURSTS],
                *_refill(client, instance),
            ]
        finally:
            _set(client, 0)


@dataclass(slots=True)
class _Claims:
    """Milliseconds: of creates, of creates with their first output, of one command more."""

    create: list[float] = field(default_factory=list[float])
    output: list[float] = field(default_factory=list[float])
    command: list[float] = field(default_factory=list[float])
    made: list[str] = field(default_factory=list[str])

    def add(self, client: Client, template: str = _TEMPLATE) -> None:
        self.create.append(timed_ms(lambda: self.made.append(_claim(client, template))))
        self.output.append(self.create[-1] + timed_ms(lambda: client.echo(self.made[-1])))
        self.command.append(timed_ms(lambda: client.echo(self.made[-1])))

    def warm(self) -> "_Claims":
        """Without the first few."""
        n = _WARM_UP
        return _Claims(self.create[n:], self.output[n:], self.command[n:], self.made[n:])


def _one_by_one(client: Client) -> list[Figure]:
    quiet = _quiet(client, _POOL)
    with tempfile.TemporaryDirectory() as place:
        bare = floor(Path(place), _POOL)[_WARM_UP:]
    output = quiet.output
    floors = {"of that, create": quiet.create, "bare FastAPI, SQLite, agents": bare}
    met = quantile(output, 0.5) <= 12 and quantile(output, 0.95) <= 30
    name = "pool: create → output"
    times = median(output) / median(bare)
    _fill(client, _POOL)
    busy = _steady(client, _ONE_BY_ONE, every_s=_EVERY_S)
    return [
        Figure(name, "ms", output, "p50 ≤ 12, p95 ≤ 30", met, floors),
        Figure("ours ÷ bare", "×", [times], "≤ 2", times <= 2),
        Figure(f"{name}, {1 / _EVERY_S:.0f}/s refilled", "ms", busy, "told, no goal", None),
        *_against_reference(quiet),
    ]


def _against_reference(ours: _Claims) -> list[Figure]:
    times = _REFERENCE_OUTPUT_MS / median(ours.output)
    faster = median(ours.command) < _REFERENCE_COMMAND_MS
    name, goal = "pool: second command", f"p50 < {_REFERENCE_COMMAND_MS} of {_REFERENCE}"
    return [
        Figure(
            f"{_REFERENCE} (reference) ÷ ours", "×", [times], "≥ 40", times >= 40,
            note=_REFERENCE_NOTE,
        ),
        Figure(name, "ms", ours.command, f"{goal} (reference)", faster),
    ]  # fmt: skip


def _against_docker(client: Client, instance: Instance) -> list[Figure]:
    """In turns, so that both have the same machine."""
    name, goal = "docker run ÷ ours", "≥ 20"
    ours = _Claims()
    theirs: list[float] = []
    with a_bundle(instance) as bundle, docker(bundle / "rootfs") as container:
        if container.run is None:
            return [Figure(name, "×", [], goal, None, note=container.why_not)]
        _fill_and_rest(client, _PAIRS + _WARM_UP)
        for _ in range(_PAIRS + 2):
            ours.add(client)
            theirs.append(timed_ms(container.run))
            time.sleep(_SETTLE_S)
    _remove(client, ours.made)
    times = median(theirs[2:]) / median(ours.output[2:])
    floors = {"docker run --rm, ms": theirs[2:], "ours in turn with it, ms": ours.output[2:]}
    return [Figure(name, "×", [times], goal, times >= 20, floors)]


def _under_gvisor(client: Client) -> list[Figure]:
    """Claims while nothing else runs, and at a steady rate with what it costs to refill."""
    name, goal = "gvisor pool: create → output", "p50 ≤ 20, p95 ≤ 50"
    if "gvisor" not in tiers(client):
        return [Figure(name, "ms", [], goal, None, note="not measured: no tier gvisor here")]
    recipe = _RECIPE.replace(_TEMPLATE, _SENTRIES).replace("container", "gvisor")
    client.call("POST", "/templates", {"files": {"template.yaml": recipe}})
    try:
        quiet = _quiet(client, _SENTRY_POOL, _SENTRIES)
        _fill(client, _SENTRY_POOL // 2, _SENTRIES)
        busy = _steady(client, _SENTRY_POOL, _SENTRIES, every_s=_SENTRY_EVERY_S)
    finally:
        _set(client, 0, _SENTRIES)
    met = quantile(quiet.output, 0.5) <= 20 and quantile(quiet.output, 0.95) <= 50
    floors = {"of that, create": quiet.create, "one command more": quiet.command}
    rate = f"{1 / _SENTRY_EVERY_S:.1f}/s refilled"
    return [
        Figure(name, "ms", quiet.output, goal, met, floors),
        Figure(f"{name}, {rate}", "ms", busy, "told, no goal", None),
    ]


def _quiet(client: Client, size: int, template: str = _TEMPLATE) -> _Claims:
    """One after the other from a full pool, while no member of it is being started."""
    found = _Claims()
    ends = _fill_and_rest(client, size, template)
    while len(found.made) < size and time.monotonic() < ends:
        found.add(client, template)
    _remove(client, found.made)
    if len(found.made) < 2 * _WARM_UP:
        raise RuntimeError(f"{len(found.made)} claims of {template} while its pool rested")
    return found.warm()


def _steady(
    client: Client, many: int, template: str = _TEMPLATE, *, every_s: float
) -> Sequence[float]:
    """So many seconds apart, while what was used is deleted and the pool refilled."""
    found = _Claims()
    for _ in range(many):
        began = time.perf_counter()
        found.add(client, template)
        client.call("DELETE", f"/workspaces/{found.made[-1]}")
        time.sleep(max(0.0, every_s - (time.perf_counter() - began)))
    return found.warm().output


def _burst(client: Client, instance: Instance, many: int, goal_ms: int) -> Figure:
    _fill(client, many)
    made: list[str] = []
    took = timed_ms(lambda: _together(many, lambda: made.append(_claimed_output(instance))))
    _remove(client, made)
    met = took <= goal_ms and len(made) == many
    return Figure(f"{many} at once, all outputs", "ms", [took], f"≤ {goal_ms}, no error", met)


def _refill(client: Client, instance: Instance) -> list[Figure]:
    _set(client, 0)
    _until(client, lambda pool: pool["ready"] == 0)
    time.sleep(5)
    before, used = time.perf_counter(), _cpu_s(instance)
    memory = _available_kib()
    _fill(client, _POOL)
    took, cpu = time.perf_counter() - before, _cpu_s(instance) - used
    time.sleep(2)
    each = (memory - _available_kib()) / 1024 / _POOL
    return [
        Figure("pool refill", "1/s", [_POOL / took], "≥ 10", _POOL / took >= 10),
        Figure("cores while it refills", "", [cpu / took], "≤ 1", cpu / took <= 1),
        Figure("memory of the machine per idle member", "MiB", [each], "≤ 4 of ours", None),
    ]


def _claim(client: Client, template: str = _TEMPLATE) -> str:
    body = {"template": template, "env": {"BENCH": "1"}, "ttl": "1h"}
    made = client.call("POST", "/workspaces?wait=30s", body)
    assert made["started"] == "pool", made["started_why"]
    return str(made["id"])


def _claimed_output(instance: Instance) -> str:
    with Client(instance.url, instance.token) as client:
        made = _claim(client)
        client.echo(made)
        return made


def _together(many: int, work: Callable[[], object]) -> None:
    threads = [threading.Thread(target=work) for _ in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _remove(client: Client, ids: Sequence[str]) -> None:
    for id in ids:
        client.call("DELETE", f"/workspaces/{id}")
    for id in ids:
        client.call("DELETE", f"/workspaces/{id}?wait=60s")


def _set(
    client: Client, size: int, template: str = _TEMPLATE, *, refill_per_second: float = 100
) -> None:
    client.call(
        "PUT", f"/pools/{template}", {"size": size, "refill_per_second": refill_per_second}
    )


def _fill(client: Client, size: int, template: str = _TEMPLATE) -> None:
    _set(client, size, template)
    _until(client, lambda pool: pool["ready"] >= size, template)


def _fill_and_rest(client: Client, size: int, template: str = _TEMPLATE) -> float:
    """Fill it and use up what it may begin at once: no claim starts anything until then."""
    _fill(client, size, template)
    _set(client, size, template, refill_per_second=1 / _REST_S)
    ends = time.monotonic() + _REST_S
    _remove(client, [_claim(client, template)])
    time.sleep(_NOTICED_S)
    _until(client, lambda pool: pool["ready"] >= size, template)
    return ends


def _until(client: Client, done: Callable[[Any], bool], template: str = _TEMPLATE) -> None:
    deadline = time.monotonic() + 900
    while not done(pool := client.call("GET", f"/pools/{template}")):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the pool is not filled: {pool}")
        time.sleep(0.2)


def _cpu_s(instance: Instance) -> float:
    """Of all processes of the installation, and of those that they waited for."""
    total = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            line = (path.parent / "cmdline").read_bytes()
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if str(instance.layout.data_dir).encode() in line:
            total += sum(int(fields[n]) for n in (11, 12, 13, 14))
    return total / 100


def _available_kib() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
