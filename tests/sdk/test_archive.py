"""Archives: what is packed arrives, and nothing arrives outside."""

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcove.sdk.archive import BLOCK, ArchiveError, Packer, Transfer, Unpacker, link_stays_inside


def tar(*members: tarfile.TarInfo, content: bytes = b"") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member in members:
            if member.isreg():
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content) if member.isreg() else None)
    return out.getvalue()


def member(
    name: str, kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, mode
    return info


def unpack(archive: bytes, root: Path, *, step: int = 1000) -> Transfer:
    unpacker = Unpacker(root)
    try:
        for start in range(0, len(archive), step):
            unpacker.feed(archive[start : start + step])
        return unpacker.finish()
    finally:
        unpacker.close()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "sub/deep").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "a.txt").write_text("a")
    (root / "sub/exact").write_bytes(b"x" * BLOCK)
    (root / "sub/large").write_bytes(os.urandom(700_000))
    (root / ("long-" + "n" * 200)).write_text("long")
    (root / "grüße").write_text("utf-8")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "sub/up").symlink_to("../a.txt")
    return root


def seen(root: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_dir():
            found[name] = "directory"
        else:
            found[name] = (path.read_bytes(), bool(path.stat().st_mode & 0o100))
    return found


@pytest.mark.parametrize("step", [1, 511, 512, 100_000, 10_000_000])
def test_what_was_packed_is_unpacked(tree: Path, tmp_path: Path, step: int) -> None:
    if step == 1:
        (tree / "sub/large").unlink()
    archive = b"".join(Packer(tree))
    unpack(archive, tmp_path / "out", step=step)
    assert seen(tmp_path / "out") == seen(tree)


def test_other_programs_read_what_we_pack(tree: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(b"".join(Packer(tree)))) as archive:
        names = set(archive.getnames())
    assert names == set(seen(tree))


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_of_other_programs_are_read(tmp_path: Path, form: int) -> None:
    out = io.BytesIO()
    name = "d/" + "x" * 180
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        archive.addfile(member(name))
        archive.addfile(member("l", tarfile.SYMTYPE, "d/" + "y" * 180))
    unpack(out.getvalue(), tmp_path / "out")
    assert (tmp_path / "out" / name).is_file()
    assert (tmp_path / "out/l").readlink() == Path("d/" + "y" * 180)


@pytest.mark.parametrize("name", ["../outside", "a/../../outside", "/tmp/outside", "..", "a/.."])
def test_a_name_that_leads_outside_is_left_out(tmp_path: Path, name: str) -> None:
    told = unpack(tar(member(name), content=b"x"), tmp_path / "out")
    assert told.files == 0
    assert name in told.skipped[0]
    assert seen(tmp_path) == {"out": "directory"}


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "../../x", "a/../../x", "b/.."])
def test_a_link_that_leads_outside_is_left_out(tmp_path: Path, target: str) -> None:
    told = unpack(tar(member("link", tarfile.SYMTYPE, target)), tmp_path / "out")
    assert "outside" in told.skipped[0]
    assert seen(tmp_path / "out") == {}


@pytest.mark.parametrize(
    "kind", [tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"Z"]
)
def test_devices_and_hard_links_are_left_out(tmp_path: Path, kind: bytes) -> None:
    told = unpack(tar(member("odd", kind, "/etc/passwd")), tmp_path / "out")
    assert told.skipped == ("odd: neither a file, a directory nor a symbolic link",)
    assert seen(tmp_path / "out") == {}


def test_nothing_is_written_through_a_link_in_the_archive(tmp_path: Path) -> None:
    archive = tar(
        member("d", tarfile.DIRTYPE),
        member("l", tarfile.SYMTYPE, "d"),
        member("l/file"),
        content=b"x",
    )
    with pytest.raises(ArchiveError, match="not a directory"):
        unpack(archive, tmp_path / "out")
    assert seen(tmp_path / "out") == {"d": "directory", "l": "-> d"}


def test_nothing_is_written_through_a_link_that_was_there(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    root = tmp_path / "out"
    root.mkdir()
    (root / "d").symlink_to(outside)
    (root / "f").symlink_to(outside / "kept")
    unpack(tar(member("f"), content=b"new"), root)
    with pytest.raises(ArchiveError):
        unpack(tar(member("d/kept"), content=b"new"), root)
    assert (outside / "kept").read_text() == "kept"
    assert (root / "f").read_text() == "new"


def test_special_bits_are_not_taken_over(tmp_path: Path) -> None:
    unpack(tar(member("f", mode=0o6777)), tmp_path / "out")
    assert stat.S_IMODE((tmp_path / "out/f").stat().st_mode) & 0o7022 == 0


@pytest.mark.parametrize(
    "archive",
    [
        b"",
        b"not a tar archive" * 100,
        tar(member("f"), content=b"x" * 5000)[:1024],
        tar(member("f"))[:512],
    ],
)
def test_what_is_no_whole_archive_is_an_error(tmp_path: Path, archive: bytes) -> None:
    with pytest.raises(ArchiveError):
        unpack(archive, tmp_path / "out")


def test_a_sparse_file_is_refused(tmp_path: Path) -> None:
    info = member("f")
    info.pax_headers = {"GNU.sparse.major": "1"}
    with pytest.raises(ArchiveError, match="sparse"):
        unpack(tar(info), tmp_path / "out")


def test_packing_leaves_out_links_that_lead_outside(tree: Path) -> None:
    (tree / "etc").symlink_to("/etc")
    packer = Packer(tree)
    archive = b"".join(packer)
    assert packer.transfer.skipped == ("etc: a link to /etc, outside the directory",)
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        assert "etc" not in packed.getnames()


def test_packing_a_file_that_shrinks_fails(tree: Path) -> None:
    pieces = iter(Packer(tree))
    while b"sub/large" not in next(pieces)[:100]:
        pass
    # The header is out; its size can no longer be kept.
    (tree / "sub/large").write_bytes(b"")
    with pytest.raises(ArchiveError, match="shorter"):
        list(pieces)


PART = st.sampled_from(["..", ".", "a", "b", ""])
PATHS = st.lists(PART, min_size=1, max_size=6).map("/".join)


@given(name=PATHS.filter(lambda n: ".." not in n), target=PATHS)
def test_a_link_that_is_taken_for_inside_is_inside(name: str, target: str) -> None:
    root = Path("/root/of/it")
    if link_stays_inside(name, target):
        above = root.joinpath(*[p for p in name.split("/") if p not in ("", ".")][:-1])
        assert Path(os.path.normpath(above / target)).is_relative_to(root)
