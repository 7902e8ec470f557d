"""What is handed to Prometheus, checked with its own promtool: alert rules and metrics."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from alcove.model.workspace import Isolation
from tests.api.served import ADA, Served

RULES = Path(__file__).parents[2] / "deploy/prometheus/alcove.rules.yml"
POOL = {"template": "python", "isolation": "gvisor"}
SERIES = 'alcove_pool_misses_total{template="python", isolation="gvisor"}'
EMPTY = {
    "exp_labels": {**POOL, "severity": "warning"},
    "exp_annotations": {
        "summary": "The pool of python (gvisor) runs empty",
        "description": (
            "In the last five minutes 10 workspaces started cold because their pool was empty."
            " Raise its size or its maximum, or look why it is not refilled:"
            " `alcove pool show python`."
        ),
    },
}


def promtool(*words: str, given: bytes = b"") -> str:
    """What it says, having found nothing wrong."""
    done = subprocess.run(
        ["promtool", *words], input=given, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return (done.stdout + done.stderr).decode()


def test_every_alert_rule_can_be_loaded() -> None:
    assert "SUCCESS" in promtool("check", "rules", str(RULES))


@pytest.mark.parametrize(
    ("misses", "fires"),
    [
        ("0+2x20", [EMPTY]),  # two a minute, for twenty minutes
        ("0 0 3x18", []),  # one burst, long over
        ("4x20", []),  # none since the server was started
    ],
)
def test_the_alert_of_an_empty_pool_fires_while_it_misses(
    tmp_path: Path, misses: str, fires: Sequence[dict[str, Any]]
) -> None:
    alert = {"eval_time": "15m", "alertname": "AlcovePoolEmpty", "exp_alerts": fires}
    given = [{"series": SERIES, "values": misses}]
    tests = [{"interval": "1m", "input_series": given, "alert_rule_test": [alert]}]
    file = tmp_path / "tests.yml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "tests": tests}))
    promtool("test", "rules", str(file))


async def test_metrics_are_as_prometheus_would_have_them(api: Served) -> None:
    metrics = api.core.metrics
    metrics.pool_asked("python", Isolation.GVISOR, claimed=True)
    metrics.pool_asked("python", Isolation.GVISOR, claimed=False)
    await api.workspace(ADA)
    await api.world.settle()
    text = (await api.bare().get("/metrics")).content
    assert b"alcove_pool_claims_total{" in text
    assert b"alcove_driver_verb_seconds_bucket{" in text
    assert promtool("check", "metrics", given=text) == ""
