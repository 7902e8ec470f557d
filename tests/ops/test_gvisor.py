"""Which runsc is taken, and what is told of one that is missing or on its way."""

import fcntl
from pathlib import Path

from alcove.host.runtime.runsc import find_runsc, release_of
from alcove.ops.findings import State
from alcove.ops.gvisor import examine


def a_runsc(path: Path, says: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho 'runsc version {says}'\n")
    path.chmod(0o755)
    return path


def test_the_release_is_a_date(tmp_path: Path) -> None:
    assert release_of(a_runsc(tmp_path / "runsc", "release-20260905.0")) == 20260905
    assert release_of(a_runsc(tmp_path / "other", "VERSION_MISSING")) == 0


def test_one_that_is_too_old_is_not_taken(tmp_path: Path) -> None:
    a_runsc(tmp_path / "runsc", "release-20240101.0")
    assert find_runsc(tmp_path) is None


def test_one_that_is_new_enough_is_taken(tmp_path: Path) -> None:
    path = a_runsc(tmp_path / "runsc", "release-20260905.0")
    assert find_runsc(tmp_path) == (str(path), "release-20260905")


def test_a_missing_one_is_told_with_the_remedy(tmp_path: Path) -> None:
    found = examine(tmp_path)
    assert found.state is State.NOTE
    assert "alcove up" in found.remedy


def test_a_build_under_way_is_told(tmp_path: Path) -> None:
    (tmp_path / ".tools").mkdir()
    with (tmp_path / ".tools/runsc.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "being built" in examine(tmp_path).value
    assert "being built" not in examine(tmp_path).value
