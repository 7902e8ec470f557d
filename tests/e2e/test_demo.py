"""The main job on real input: what `make demo` shows."""

from pathlib import Path

import pytest

from demo import leftovers
from demo.instance import Instance
from demo.project import ITSDANGEROUS, MARKUPSAFE, publish
from demo.story import tell, tell_side_by_side

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(900)]


def test_an_agent_takes_a_real_project_from_clone_to_pushed_branch(
    installation: Instance, forge: str, repositories: Path, tmp_path: Path
) -> None:
    bare = publish(MARKUPSAFE, tmp_path, repositories)
    outcome = tell(installation, MARKUPSAFE, forge, bare, print)
    assert " passed" in outcome.tests
    assert leftovers.of_workspaces(installation, [outcome.workspace]) == []
    told = "\n".join(outcome.timeline)
    for kind in ("workspace.created", "workspace.phase_changed", "workspace.delete_requested"):
        assert kind in told


def test_ten_side_by_side_leave_nothing_behind(
    installation: Instance, forge: str, repositories: Path, tmp_path: Path
) -> None:
    bare = publish(ITSDANGEROUS, tmp_path, repositories)
    outcomes = tell_side_by_side(installation, ITSDANGEROUS, forge, bare, print, 10)
    assert len({outcome.workspace for outcome in outcomes}) == 10
    assert all(" passed" in outcome.tests for outcome in outcomes)
