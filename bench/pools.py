"""Workspaces from a pool, over HTTP: one by one, in bursts, and how quickly it refills."""

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.client import Client
from bench.figures import Figure, median, quantile, timed_ms
from bench.floor import floor
from bench.workspaces import docker_floor
from demo.instance import Instance

_ONE_BY_ONE, _POOL = 100, 60
_EVERY_S = 0.2
_BURSTS = ((100, 1000), (200, 2200))
_TEMPLATE = "bench-pooled"
_SENTRIES, _SENTRY_POOL = "bench-sentries", 20
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
        sentries = _RECIPE.replace(_TEMPLATE, _SENTRIES).replace("container", "gvisor")
        client.call("POST", "/templates", {"files": {"template.yaml": sentries}})
        try:
            return [
                *_one_by_one(client, instance),
                _under_gvisor(client),
                *[_burst(client, instance, many, goal) for many, goal in _BURSTS],
                *_refill(client, instance),
            ]
        finally:
            _set(client, 0)
            _set(client, 0, _SENTRIES)


def _one_by_one(client: Client, instance: Instance) -> list[Figure]:
    _fill(client, _POOL)
    _set(client, _POOL, refill_per_second=0.1)
    create, output = _claims(client, _POOL - 5)
    with tempfile.TemporaryDirectory() as place:
        bare = floor(Path(place), _POOL)[5:]
    floors = {"of that, create": create, "bare FastAPI, SQLite, agents": bare}
    met = quantile(output, 0.5) <= 12 and quantile(output, 0.95) <= 30
    name = "pool: create → output"
    figures = [Figure(name, "ms", output, "p50 ≤ 12, p95 ≤ 30", met, floors)]
    times = median(output) / median(bare)
    figures.append(Figure("ours ÷ bare", "×", [times], "≤ 2", times <= 2))
    _fill(client, _POOL)
    _, busy = _claims(client, _ONE_BY_ONE, every_s=_EVERY_S)
    told = "told, no goal"
    figures.append(Figure(f"{name}, {1 / _EVERY_S:.0f}/s refilled", "ms", busy, told, None))
    return figures + _against_docker(instance, median(output))


def _claims(client: Client, many: int, *, every_s: float = 0.0) -> tuple[list[float], list[float]]:
    """Creates, and creates with their outputs; with `every_s` they are deleted as they go."""
    create: list[float] = []
    output: list[float] = []
    made: list[str] = []
    for _ in range(many):
        began = time.perf_counter()
        create.append(timed_ms(lambda: made.append(_claim(client))))
        output.append(create[-1] + timed_ms(lambda: client.echo(made[-1])))
        if every_s:
            client.call("DELETE", f"/workspaces/{made.pop()}")
            time.sleep(max(0.0, every_s - (time.perf_counter() - began)))
    _remove(client, made)
    return create[5:], output[5:]


def _against_docker(instance: Instance, ours_ms: float) -> list[Figure]:
    with docker_floor(instance) as run_docker:
        if run_docker is None:
            return []
        docker = [timed_ms(run_docker) for _ in range(10)]
    times = median(docker) / ours_ms
    floors = {"docker run --rm, ms": docker}
    return [Figure("docker run ÷ ours", "×", [times], "≥ 20", times >= 20, floors)]


def _under_gvisor(client: Client) -> Figure:
    _fill(client, _SENTRY_POOL, _SENTRIES)
    output: list[float] = []
    for _ in range(_SENTRY_POOL * 2):
        made: list[str] = []
        took = timed_ms(lambda made=made: made.append(_claim(client, _SENTRIES)))
        output.append(took + timed_ms(lambda made=made: client.echo(made[0])))
        client.call("DELETE", f"/workspaces/{made[0]}")
        time.sleep(0.4)  # as above: one of these takes longer to start
    output = output[3:]
    met = quantile(output, 0.5) <= 20 and quantile(output, 0.95) <= 50
    _set(client, 0, _SENTRIES)
    return Figure("gvisor pool: create → output", "ms", output, "p50 ≤ 20, p95 ≤ 50", met)


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
