"""A file system that is really full."""

import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from alcove.core.recording_file import CastFile, Header, Item, unwritten, whole_lines
from alcove.model.recording import RecordingId

pytestmark = pytest.mark.root
ID = RecordingId("rec-aaaaaaaaaaaaaaaa")


@pytest.fixture
def small(tmp_path: Path) -> Generator[Path]:
    """A file system of 256 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_file_system_leaves_whole_lines(small: Path) -> None:
    path = small / "2026-01" / f"{ID}.cast"
    file = CastFile(path, ID, Header(80, 24, 0, "x"), size_max=1 << 30)
    line = b"x" * 5000

    def fill() -> None:
        for number in range(1000):
            file.write([Item(float(number), "o", line)])

    with pytest.raises(OSError, match="No space left"):
        fill()
    assert path.stat().st_size == file.size
    assert file.complete() or file.chunks
    file.close()
    fd = unwritten(path)
    assert fd is not None
    assert whole_lines(fd, file.size) == file.size


def test_on_a_full_file_system_none_is_begun(small: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        (small / "filler").write_bytes(b"x" * (1 << 20))
    (small / "2026-01").mkdir()
    path = small / "2026-01" / f"{ID}.cast"
    with pytest.raises(OSError, match="No space left"):
        CastFile(path, ID, Header(80, 24, 0, "x"), size_max=1 << 30)
    assert not path.exists()
