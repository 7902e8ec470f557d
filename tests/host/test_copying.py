"""Copies keep their holes, and sums do not depend on them."""

import os
from pathlib import Path

import pytest

from alcove.host.copying import copy, digest

MIB = 1 << 20


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    """64 MiB with a little at 3 MiB, a lot around 10 MiB, and the last byte."""
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.seek(3 * MIB + 17)
        file.write(b"a little")
        file.seek(10 * MIB - 5)
        file.write(os.urandom(2 * MIB))
        file.seek(64 * MIB - 1)
        file.write(b"z")
    return path


def test_a_copy_is_equal_and_as_sparse(sparse: Path, tmp_path: Path) -> None:
    made = tmp_path / "copy"
    copy(sparse, made)
    assert made.read_bytes() == sparse.read_bytes()
    assert made.stat().st_blocks * 512 < 4 * MIB


def test_an_empty_file_is_copied(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    copy(tmp_path / "empty", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b""


def test_a_file_of_one_hole_is_copied(tmp_path: Path) -> None:
    (tmp_path / "hole").touch()
    os.truncate(tmp_path / "hole", 5 * MIB)
    copy(tmp_path / "hole", tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_size == 5 * MIB
    assert digest(tmp_path / "copy") == digest(tmp_path / "hole")


def test_the_sum_does_not_depend_on_the_holes(sparse: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.write_bytes(sparse.read_bytes())
    assert full.stat().st_blocks > sparse.stat().st_blocks
    assert digest(full) == digest(sparse)


@pytest.mark.parametrize("at", [0, 3 * MIB + 18, 11 * MIB, 64 * MIB - 1])
def test_any_other_byte_is_another_sum(sparse: Path, at: int) -> None:
    before = digest(sparse)
    with sparse.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
    assert digest(sparse) != before


@pytest.mark.parametrize("size", [64 * MIB + 1, 64 * MIB - 1, 0])
def test_another_size_is_another_sum(sparse: Path, size: int) -> None:
    before = digest(sparse)
    os.truncate(sparse, size)
    assert digest(sparse) != before


def test_the_same_data_elsewhere_is_another_sum(tmp_path: Path) -> None:
    sums: set[str] = set()
    for at in (0, 1, 2):
        path = tmp_path / f"at{at}"
        with path.open("wb") as file:
            file.truncate(4 * MIB)
            file.seek(at * MIB)
            file.write(b"x")
        sums.add(digest(path))
    assert len(sums) == 3
