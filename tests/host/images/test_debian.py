"""Images from Debian packages, with the real mmdebstrap and the mirror of this host.

The layers are kept below /var/tmp between runs: only a change of the recipe builds them again.
"""

import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path

import pytest

from alcove.drivers.base import ImageStatus
from alcove.host.images import ImageLibrary
from alcove.host.images.debian import TOOLS, plan
from alcove.host.settings import HostSettings
from alcove.model.errors import DriverError
from alcove.model.image import DebianImage

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]

KEPT = Path("/var/tmp/alcove-test-images")
SMALL = DebianImage("bookworm", ("less",), "dev", sudo=True)
READY_S = 540
IDS = 0x5000_0000
"""A range of these tests' own, so that their processes are known by it."""


@pytest.fixture(scope="module")
def kept() -> Generator[ImageLibrary]:
    """One library for the module; alone with its directory."""
    KEPT.mkdir(mode=0o700, exist_ok=True)
    before = os.umask(0o077)
    made = ImageLibrary(HostSettings(data_dir=KEPT, id_base=IDS))
    os.umask(before)
    yield made
    made.close()


@pytest.fixture(scope="module")
def small(kept: ImageLibrary) -> list[Path]:
    """The layers of a small image."""
    status = finished(kept, SMALL)
    assert status.state == "ready", f"{status.detail}\n{kept.log(SMALL.key)}"
    return kept.layers(SMALL)


def finished(library: ImageLibrary, image: DebianImage) -> ImageStatus:
    library.prepare(image)
    deadline = time.monotonic() + READY_S
    while (status := library.status(image)).state == "building":
        assert time.monotonic() < deadline, status.detail
        time.sleep(0.05)
    return status


def collected(library: ImageLibrary, *, keep: DebianImage) -> list[str]:
    """What is removed; the thread of the last build may need a moment to end."""
    deadline = time.monotonic() + 10
    while not (removed := library.collect([keep.key], [])):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return removed


def inside(layers: list[Path], script: str) -> str:
    """What a script says, run in the image by the user of number 1000 in its ids."""
    lower = ":".join(str(layer) for layer in reversed(layers))
    command = (
        'mount -t tmpfs t /mnt && mount -t overlay o -o "lowerdir=$0" /mnt && '
        'exec chroot --userspec=1000:1000 /mnt /bin/sh -c "$1"'
    )
    argv = ["unshare", "-m", "-n", "sh", "-c", command, lower, script]
    return subprocess.check_output(argv, text=True, stderr=subprocess.STDOUT).strip()


def test_an_image_has_its_packages_and_its_user(small: list[Path]) -> None:
    assert "less" in inside(small, "less --version | head -1")
    assert inside(small, "id -un; id -u; pwd") == "dev\n1000\n/"
    assert inside(small, "getent passwd dev | cut -d: -f6,7") == "/home/dev:/bin/bash"


def test_the_user_has_what_skel_gives_and_nobody_elses_home(small: list[Path]) -> None:
    assert inside(small, "test -O ~dev/.bashrc && stat -c %a ~dev/.bashrc") == "644"


def test_sudo_is_allowed_without_a_password(small: list[Path]) -> None:
    assert (small[-1] / "etc/sudoers.d/alcove").read_text() == "dev ALL=(ALL:ALL) NOPASSWD: ALL\n"
    assert stat.S_IMODE((small[-1] / "usr/bin/sudo").stat().st_mode) == 0o4755


def test_public_authorities_are_in_every_image(small: list[Path]) -> None:
    assert (small[0] / "etc/ssl/certs/ca-certificates.crt").stat().st_size > 100_000


def test_files_have_the_ids_of_the_image(small: list[Path]) -> None:
    for layer in small:
        found = subprocess.check_output(["find", layer, "-uid", "+65535"], text=True)
        assert found == ""


def test_nothing_of_one_machine_is_kept(small: list[Path]) -> None:
    for layer in small:
        assert not list(layer.glob("etc/ssh/ssh_host_*"))
        assert not (layer / "etc/resolv.conf").exists()
        assert not (layer / "var/lib/apt/lists/partial").is_dir() or not list(
            (layer / "var/lib/apt/lists").glob("*_InRelease")
        )
        assert not [path for path in (layer / "var/log").rglob("*") if path.is_file()]
    assert (small[-1] / "etc/machine-id").read_text() == ""
    devices = [p for layer in small for p in layer.glob("dev/*") if not p.is_symlink()]
    assert devices == []


def test_apt_in_a_workspace_uses_the_same_mirror(small: list[Path]) -> None:
    sources = (small[0] / "etc/apt/sources.list").read_text()
    assert " bookworm main" in sources
    assert " bookworm-security main" in sources


def test_users_of_the_host_cannot_reach_a_set_uid_file(small: list[Path]) -> None:
    sudo = small[-1] / "usr/bin/sudo"
    argv = ["setpriv", "--reuid=65534", "--clear-groups", "stat", str(sudo)]
    assert subprocess.run(argv, capture_output=True, check=False).returncode != 0


def test_asking_again_for_a_ready_image_builds_nothing(
    kept: ImageLibrary, small: list[Path]
) -> None:
    before = [layer.stat().st_ctime_ns for layer in small]
    assert kept.prepare(SMALL).state == "ready"
    assert [layer.stat().st_ctime_ns for layer in kept.layers(SMALL)] == before


def test_two_images_share_the_foundation(kept: ImageLibrary, small: list[Path]) -> None:
    other = DebianImage("bookworm", ("procps",), "dev", sudo=False)
    assert finished(kept, other).state == "ready"
    assert kept.layers(other)[0] == small[0]
    assert kept.layers(other)[1] != small[1]
    assert collected(kept, keep=SMALL) == [other.key]
    assert kept.status(SMALL).state == "ready"


def test_a_package_that_does_not_exist_is_named(kept: ImageLibrary, small: list[Path]) -> None:
    image = DebianImage("bookworm", ("nonesuch-package",), "dev", sudo=False)
    status = finished(kept, image)
    assert status.state == "failed"
    assert "no package 'nonesuch-package'" in status.detail
    assert "Unable to locate" in kept.log(image.key)


def test_two_builds_of_one_image_are_the_same(kept: ImageLibrary, small: list[Path]) -> None:
    first = _listing(kept.layers(SMALL)[-1])
    again = DebianImage("bookworm", ("less", "less"), "dev", sudo=True)
    assert plan(again) == plan(SMALL)
    other = DebianImage("bookworm", ("procps",), "dev", sudo=False)
    assert finished(kept, other).state == "ready", "it holds the foundation meanwhile"
    assert collected(kept, keep=other) == [SMALL.key]
    assert finished(kept, SMALL).state == "ready"
    assert _listing(kept.layers(SMALL)[-1]) == first


def test_package_scripts_run_without_a_network_and_under_foreign_ids(
    kept: ImageLibrary, small: list[Path]
) -> None:
    """Seen while a build runs; another build on this machine has other ids."""
    image = DebianImage("bookworm", ("procps", "less"), "dev", sudo=False)
    seen: set[tuple[int, bool]] = set()
    stop = threading.Event()
    ours = Path("/proc/self/ns/net").readlink()

    def watch() -> None:
        while not stop.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    if b"--configure" in (process / "cmdline").read_bytes():
                        own_network = (process / "ns/net").readlink() != ours
                        seen.add((process.stat().st_uid, own_network))
                except OSError:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert finished(kept, image).state == "ready"
    stop.set()
    watcher.join()
    collected(kept, keep=SMALL)
    assert seen
    assert {entry for entry in seen if entry[0] == IDS} == {(IDS, True)}


def test_a_cancelled_build_leaves_no_process_and_no_file(
    kept: ImageLibrary, small: list[Path]
) -> None:
    image = DebianImage("bookworm", ("procps", "jq"), "dev", sudo=False)
    kept.prepare(image)
    while not kept.status(image).detail.startswith(("fetching", "installing")):
        time.sleep(0.01)
    kept.cancel(image)
    assert finished(kept, image).detail.startswith("cancelled")
    assert not list((KEPT / "host/images/building").iterdir())
    assert not {uid for uid in _owners() if IDS <= uid < IDS + 65536}


def test_a_build_dies_with_the_process_that_wanted_it(
    kept: ImageLibrary, small: list[Path]
) -> None:
    ids = IDS + 65536
    program = f"""
import time
from pathlib import Path
from alcove.host.images import ImageLibrary
from alcove.host.settings import HostSettings
from alcove.model.image import DebianImage
library = ImageLibrary(HostSettings(data_dir=Path({str(KEPT)!r}), id_base={ids}))
library.prepare(DebianImage("bookworm", ("procps", "rsync"), "dev", sudo=False))
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", program])
    _until(lambda: any(ids <= uid < ids + 65536 for uid in _owners()))
    mounts = Path("/proc/mounts").read_text()
    process.kill()
    process.wait()
    _until(lambda: not any(ids <= uid < ids + 65536 for uid in _owners()))
    assert str(KEPT) not in mounts, "mounts of a build are its own"
    ImageLibrary(HostSettings(data_dir=KEPT, id_base=ids)).close()
    assert not list((KEPT / "host/images/building").iterdir())


def test_half_a_build_is_removed_at_the_next_start(settings: HostSettings) -> None:
    ImageLibrary(settings).close()
    left = settings.images_dir / "building/dead/tree/usr"
    left.mkdir(parents=True)
    ImageLibrary(settings).close()
    assert not left.exists()


@pytest.mark.parametrize(
    "image",
    [
        DebianImage("bookworm", ("less; reboot",), "dev", sudo=False),
        DebianImage("bookworm", ("--allow-unauthenticated",), "dev", sudo=False),
        DebianImage("book worm", (), "dev", sudo=False),
        DebianImage("bookworm", (), "dev$(reboot)", sudo=False),
        DebianImage("bookworm", tuple(f"p{n}" for n in range(501)), "dev", sudo=False),
    ],
)
def test_what_is_not_a_package_or_a_name_never_reaches_a_shell(
    library: ImageLibrary, image: DebianImage
) -> None:
    with pytest.raises(DriverError):
        library.prepare(image)


def test_images_with_all_the_tools_share_them() -> None:
    one = plan(DebianImage("bookworm", (*TOOLS, "make"), "dev", sudo=True))
    two = plan(DebianImage("bookworm", (*TOOLS, "golang"), "dev", sudo=True))
    assert [layer.name for layer in one[:2]] == [layer.name for layer in two[:2]]
    assert one[2].packages == ("make", "sudo")


def _until(claim: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _owners() -> set[int]:
    owners: set[int] = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            owners.add(process.stat().st_uid)
    return owners


def _listing(layer: Path) -> str:
    """Everything that makes two layers the same: names, modes, owners, dates, content."""
    script = (
        'cd "$0" && find . -mindepth 1 -printf "%p %M %U:%G %T@ %l\\n" | LC_ALL=C sort; '
        "find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum"
    )
    return subprocess.check_output(["sh", "-c", script, str(layer)], text=True)
