"""Files of an image are read as its overlay shows them, and no link of it is followed."""

import os
from pathlib import Path

import pytest

from alcove.host import image_files


def _layer(base: Path, name: str, files: dict[str, str]) -> Path:
    layer = base / name
    layer.mkdir()
    for path, text in files.items():
        (layer / path).parent.mkdir(parents=True, exist_ok=True)
        (layer / path).write_text(text)
    return layer


def test_the_topmost_layer_wins(tmp_path: Path) -> None:
    low = _layer(tmp_path, "low", {"etc/passwd": "low"})
    high = _layer(tmp_path, "high", {"etc/passwd": "high"})
    assert image_files.read([low, high], "etc/passwd") == b"high"


def test_a_lower_layer_shows_through(tmp_path: Path) -> None:
    low = _layer(tmp_path, "low", {"etc/passwd": "low"})
    high = _layer(tmp_path, "high", {"etc/group": "x"})
    assert image_files.read([low, high], "etc/passwd") == b"low"


@pytest.mark.root
def test_a_whiteout_hides_what_is_below(tmp_path: Path) -> None:
    low = _layer(tmp_path, "low", {"etc/passwd": "low"})
    high = _layer(tmp_path, "high", {"etc/group": "x"})
    os.mknod(high / "etc/passwd", 0o020000, os.makedev(0, 0))
    assert image_files.read([low, high], "etc/passwd") is None


@pytest.mark.root
def test_an_opaque_directory_hides_what_is_below(tmp_path: Path) -> None:
    low = _layer(tmp_path, "low", {"etc/passwd": "low"})
    high = _layer(tmp_path, "high", {"etc/group": "x"})
    os.setxattr(high / "etc", "trusted.overlay.opaque", b"y")
    assert image_files.read([low, high], "etc/passwd") is None


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../etc/passwd", "group"])
def test_a_linked_file_is_not_followed(tmp_path: Path, target: str) -> None:
    layer = _layer(tmp_path, "layer", {"etc/group": "x"})
    (layer / "etc/passwd").symlink_to(target)
    assert image_files.read([layer], "etc/passwd") is None


def test_a_linked_directory_is_not_followed(tmp_path: Path) -> None:
    layer = _layer(tmp_path, "layer", {})
    (layer / "etc").symlink_to("/etc")
    assert image_files.read([layer], "etc/passwd") is None


def test_a_pipe_does_not_keep_us_waiting(tmp_path: Path) -> None:
    layer = _layer(tmp_path, "layer", {"etc/group": "x"})
    os.mkfifo(layer / "etc/passwd")
    assert image_files.read([layer], "etc/passwd") is None


def test_a_file_too_large_is_none(tmp_path: Path) -> None:
    layer = _layer(tmp_path, "layer", {"etc/passwd": "x"})
    os.truncate(layer / "etc/passwd", image_files.FILE_MAX_BYTES + 1)
    assert image_files.read([layer], "etc/passwd") is None


def test_the_skeleton_is_its_ordinary_files(tmp_path: Path) -> None:
    layer = _layer(tmp_path, "layer", {"etc/skel/.profile": "p", "etc/skel/.config/x": "no"})
    (layer / "etc/skel/.link").symlink_to("/etc/shadow")
    found = image_files.skeleton([layer])
    assert [(f.path, f.content) for f in found] == [(".profile", b"p")]
