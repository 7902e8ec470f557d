"""A mount that is busy for a moment is unmounted a moment later."""

import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from alcove.host import syscalls
from alcove.host.syscalls import MountFlag, mount, unmount

pytestmark = pytest.mark.root


@pytest.fixture
def mounted(tmp_path: Path) -> Generator[Path]:
    mount("tmpfs", tmp_path, "tmpfs", MountFlag(0))
    yield tmp_path
    if tmp_path.is_mount():
        unmount(tmp_path, lazy=True)


def test_what_is_busy_for_a_moment_is_unmounted(mounted: Path) -> None:
    held = (mounted / "file").open("w")
    threading.Timer(0.1, held.close).start()
    unmount(mounted)
    assert not mounted.is_mount()


def test_what_stays_busy_is_given_up_by_name(
    mounted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syscalls, "_BUSY_S", 0.1)
    with (mounted / "file").open("w"), pytest.raises(OSError, match=f"unmount {mounted}"):
        unmount(mounted)
