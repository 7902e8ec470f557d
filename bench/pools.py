"""Workspaces from a pool, over HTTP: one by one, in bursts, and how quickly it refills."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.client import Client
from bench.figures import Figure, median, quantile, timed_ms
from bench.workspaces import docker_floor
from demo.instance import Instance

_ONE_BY_ONE, _POOL = 100, 60
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
    create: list[float] = []
    output: list[float] = []
    docker: list[float] = []
    with docker_floor(instance) as run_docker:
        for number in range(_ONE_BY_ONE + 5):
            made: list[str] = []
            create.append(timed_ms(lambda made=made: made.append(_claim(client))))
            output.append(create[-1] + timed_ms(lambda made=made: client.echo(made[0])))
            client.call("DELETE", f"/workspaces/{made[0]}")
            if run_docker is not None and number % 10 == 0:
                docker.append(timed_ms(run_docker))
            time.sleep(0.1)  # so that the refill keeps up, and is part of what is measured
    create, output = create[5:], output[5:]
    met = quantile(output, 0.5) <= 12 and quantile(output, 0.95) <= 30
    floors = {"of that, create": create} | ({"docker run --rm": docker} if docker else {})
    figures = [Figure("pool: create → output", "ms", output, "p50 ≤ 12, p95 ≤ 30", met, floors)]
    if docker:
        times = median(docker) / median(output)
        figures.append(Figure("docker run ÷ ours", "×", [times], "≥ 20", times >= 20))
    return figures


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


def _set(client: Client, size: int, template: str = _TEMPLATE) -> None:
    client.call("PUT", f"/pools/{template}", {"size": size, "refill_per_second": 100})


def _fill(client: Client, size: int, template: str = _TEMPLATE) -> None:
    _set(client, size, template)
    _until(client, lambda pool: pool["ready"] >= size, template)


def _until(client: Client, done: Callable[[Any], bool], template: str = _TEMPLATE) -> None:
    deadline = time.monotonic() + 900
    while not done(pool := client.call("GET", f"/pools/{template}")):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the pool is not filled: {pool}")
        time.sleep(0.05)


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
