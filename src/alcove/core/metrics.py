"""What Prometheus reads. One registry per Core, so that two in one process do not mix."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from alcove.model.workspace import Isolation, Phase

_PROVISION: Final = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600)
_VERBS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 45)
_LAG: Final = (0.001, 0.005, 0.02, 0.1, 0.5, 1, 5, 30, 120)


@dataclass(frozen=True, slots=True)
class Metrics:
    registry: CollectorRegistry = field(
        default_factory=lambda: CollectorRegistry(auto_describe=True)
    )
    phases: Gauge = field(init=False)
    leaks: Gauge = field(init=False)
    provision: Histogram = field(init=False)
    verbs: Histogram = field(init=False)
    failures: Counter = field(init=False)
    lag: Histogram = field(init=False)
    decisions: Counter = field(init=False)
    orphans: Counter = field(init=False)
    journal_waiting: Gauge = field(init=False)
    pool_ready: Gauge = field(init=False)
    pool_wanted: Gauge = field(init=False)
    pool_claims: Counter = field(init=False)
    pool_misses: Counter = field(init=False)
    recordings: Counter = field(init=False)
    recordings_failed: Counter = field(init=False)
    recordings_used: Gauge = field(init=False)
    exec_outputs_used: Gauge = field(init=False)

    def __post_init__(self) -> None:
        registry = self.registry
        made = {**_of_workspaces(registry), **_of_sessions(registry), **_of_pools(registry)}
        for name, metric in made.items():
            object.__setattr__(self, name, metric)

    def pool_asked(self, template: str, isolation: Isolation, *, claimed: bool) -> None:
        """Somebody wanted a workspace from this pool, and got one or not."""
        counter = self.pool_claims if claimed else self.pool_misses
        counter.labels(template=template, isolation=isolation.value).inc()

    def render(self, phases: dict[Phase, int]) -> bytes:
        """The text form; `phases` is counted when it is asked for."""
        for phase in Phase:
            if phase is not Phase.DELETED:
                self.phases.labels(phase=phase.value).set(phases.get(phase, 0))
        return generate_latest(self.registry)


def _of_workspaces(registry: CollectorRegistry) -> Mapping[str, Gauge | Histogram | Counter]:
    return {
        "phases": Gauge("alcove_workspaces", "Workspaces by phase.", ["phase"], registry=registry),
        "leaks": Gauge(
            "alcove_leaked_runtimes",
            "Things of ours on the host that no live workspace owns.",
            registry=registry,
        ),
        "provision": Histogram(
            "alcove_provision_seconds",
            "From the request to the first time a workspace runs.",
            buckets=_PROVISION,
            registry=registry,
        ),
        "verbs": Histogram(
            "alcove_driver_verb_seconds",
            "How long the driver took.",
            ["verb", "outcome"],
            buckets=_VERBS,
            registry=registry,
        ),
        "failures": Counter(
            "alcove_workspace_failures_total",
            "Steps of workspaces that failed.",
            ["verb"],
            registry=registry,
        ),
        "lag": Histogram(
            "alcove_reconcile_lag_seconds",
            "From when a workspace was due until a server took it.",
            buckets=_LAG,
            registry=registry,
        ),
        "decisions": Counter(
            "alcove_timer_decisions_total",
            "What timers decided.",
            ["decision"],
            registry=registry,
        ),
        "orphans": Counter(
            "alcove_orphans_removed_total",
            "Runtimes without a record that the sweeper removed.",
            registry=registry,
        ),
        "journal_waiting": Gauge(
            "alcove_journal_waiting_events",
            "Events that wait to be written.",
            registry=registry,
        ),
    }


def _of_sessions(registry: CollectorRegistry) -> Mapping[str, Gauge | Histogram | Counter]:
    return {
        "recordings": Counter("alcove_recordings_total", "Terminals recorded.", registry=registry),
        "recordings_failed": Counter(
            "alcove_recordings_failed_total",
            "Terminals that could not be recorded, or not to their end.",
            registry=registry,
        ),
        "recordings_used": Gauge(
            "alcove_recordings_bytes",
            "Size of all recordings in this server's directory.",
            registry=registry,
        ),
        "exec_outputs_used": Gauge(
            "alcove_exec_outputs_bytes",
            "Size of the output that is kept of commands without a terminal.",
            registry=registry,
        ),
    }


def _of_pools(registry: CollectorRegistry) -> Mapping[str, Gauge | Histogram | Counter]:
    of_pool = ["template", "isolation"]
    return {
        "pool_ready": Gauge(
            "alcove_pool_ready",
            "Members of a pool that may be claimed; from the server that keeps the pools.",
            of_pool,
            registry=registry,
        ),
        "pool_wanted": Gauge(
            "alcove_pool_wanted",
            "Members that a pool is to have now; from the server that keeps the pools.",
            of_pool,
            registry=registry,
        ),
        "pool_claims": Counter(
            "alcove_pool_claims_total",
            "Workspaces that came from a pool.",
            of_pool,
            registry=registry,
        ),
        "pool_misses": Counter(
            "alcove_pool_misses_total",
            "Workspaces that started cold because their pool was empty.",
            of_pool,
            registry=registry,
        ),
    }
