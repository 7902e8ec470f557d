"""The pool that an installation has without anybody setting one: it follows who uses it."""

import time

import pytest

from alcove import Alcove

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(900)]
FILLED_S = 60.0


def ready(alcove: Alcove) -> int:
    return next(p.ready for p in alcove.pools.list() if p.template == "ai-agent-sandbox")


def test_the_second_sandbox_of_an_agent_comes_from_a_pool(alcove: Alcove) -> None:
    with alcove.workspaces.create(template="ai-agent-sandbox", timeout_s=600) as first:
        assert first.exec(["echo", "here"]).stdout == "here\n"
        deadline = time.monotonic() + FILLED_S
        while ready(alcove) < 2:
            assert time.monotonic() < deadline, list(alcove.pools.list())
            time.sleep(0.2)
        with alcove.workspaces.create(template="ai-agent-sandbox", env={"A": "b"}) as second:
            assert second.info.started == "pool", second.info.started_why
            assert second.exec(["sh", "-c", "echo $A"]).stdout == "b\n"
