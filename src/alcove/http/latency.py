"""The latency of requests, by route."""

from typing import Final

from prometheus_client import CollectorRegistry, Histogram

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Latency:
    """How long requests took, by method, route pattern and class of status."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._histogram = Histogram(
            "alcove_http_request_duration_seconds",
            "How long a request took, until the end of its answer.",
            ["method", "route", "status"],
            buckets=_BUCKETS,
            registry=registry,
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        # An unknown method is one label, not one for each word that a stranger makes up.
        method = method if method in _METHODS else "other"
        self._histogram.labels(method, route, f"{status // 100}xx").observe(seconds)
