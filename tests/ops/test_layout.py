"""A version of the program is named after everything that gets installed, and nothing else."""

from pathlib import Path

import pytest

from alcove.ops.layout import source_digest


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("src/alcove", "src/alcove/bin", "agent", "templates/base", "tests"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("src/alcove/a.py", "agent/main.go", "templates/base/template.yaml", "uv.lock"):
        (tmp_path / name).write_text("1")
    return tmp_path


@pytest.mark.parametrize(
    "name", ["src/alcove/a.py", "agent/main.go", "templates/base/template.yaml", "uv.lock"]
)
def test_a_change_of_what_is_installed_changes_the_digest(tree: Path, name: str) -> None:
    before = source_digest(tree)
    (tree / name).write_text("2")
    assert source_digest(tree) != before


@pytest.mark.parametrize(
    "name", ["tests/test_a.py", "src/alcove/bin/alcove-agent", "src/__pycache__/a.pyc"]
)
def test_what_is_not_installed_does_not_count(tree: Path, name: str) -> None:
    before = source_digest(tree)
    (tree / name).parent.mkdir(exist_ok=True)
    (tree / name).write_text("2")
    assert source_digest(tree) == before
