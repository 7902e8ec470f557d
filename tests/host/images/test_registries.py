"""Images from a real registry: pinned, fetched, verified, unpacked as overlayfs wants them."""

import os
import re
import stat
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from alcove.drivers.base import ImageStatus
from alcove.host.images import ImageLibrary
from alcove.model.errors import DriverError
from alcove.model.image import OciImage
from tests.host.images.registry import (
    Entry,
    Layout,
    Registry,
    device,
    directory,
    symlink,
    tar,
)

pytestmark = pytest.mark.root

Puller = Callable[..., ImageLibrary]
BASE = tar(
    [directory("etc"), Entry("etc/hello", b"below"), directory("old"), Entry("old/f", b"x")]
)


def pulled(library: ImageLibrary, reference: str) -> OciImage:
    """Pin and make ready; fails the test when it does not become so."""
    image = OciImage(*library.pin(reference))
    status = finished(library, image)
    assert status.state == "ready", f"{status.detail}\n{library.log(image.key)}"
    return image


def finished(library: ImageLibrary, image: OciImage) -> ImageStatus:
    library.prepare(image)
    deadline = time.monotonic() + 60
    while (status := library.status(image)).state == "building":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return status


def push(registry: Registry, layout: Layout, name: str, *layers: bytes, **how: object) -> str:
    layout.write(layout.image(layers, **how))  # pyright: ignore[reportArgumentType]
    registry.push(layout, name)
    return f"{registry.host}/{name}"


def test_an_image_is_pinned_to_the_digest_of_its_manifest(
    puller: Puller, registry: Registry, layout: Layout
) -> None:
    descriptor = layout.image([BASE])
    layout.write(descriptor)
    registry.push(layout, "team/pinned:1.0")
    name, digest = puller().pin(f"{registry.host}/team/pinned:1.0")
    assert (name, digest) == (f"{registry.host}/team/pinned", descriptor["digest"])


def test_a_list_of_manifests_is_pinned_to_the_one_for_this_machine(
    puller: Puller, registry: Registry, layout: Layout
) -> None:
    ours, others = layout.image([BASE]), layout.image([BASE], architecture="s390x")
    layout.write(layout.index([others, ours]))
    registry.push(layout, "team/many")
    assert puller().pin(f"{registry.host}/team/many")[1] == ours["digest"]


def test_an_image_for_other_machines_only_is_refused(
    puller: Puller, registry: Registry, layout: Layout
) -> None:
    layout.write(layout.index([layout.image([BASE], architecture="s390x")]))
    registry.push(layout, "team/foreign")
    with pytest.raises(DriverError, match=r"not made for linux/amd64; it is for linux/s390x"):
        puller().pin(f"{registry.host}/team/foreign")


@pytest.mark.parametrize("how", ["gzip", "zstd", ""])
def test_layers_are_unpacked_with_their_owners_and_modes(
    puller: Puller, registry: Registry, layout: Layout, how: str
) -> None:
    entries = [directory("bin"), Entry("bin/tool", b"#!", mode=0o4755, uid=1000, gid=50)]
    reference = push(registry, layout, f"team/modes-{how or 'plain'}", tar(entries), how=how)
    library = puller()
    [layer] = library.layers(pulled(library, reference))
    status = (layer / "bin/tool").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o4755, 1000, 50)
    assert stat.S_IMODE(layer.stat().st_mode) == 0o755


def test_images_are_out_of_reach_for_users_of_the_host(
    puller: Puller, registry: Registry, layout: Layout
) -> None:
    reference = push(registry, layout, "team/reach", BASE)
    library = puller()
    [layer] = library.layers(pulled(library, reference))
    command = ["setpriv", "--reuid=65534", "--clear-groups", "cat", str(layer / "etc/hello")]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_two_images_share_a_layer(puller: Puller, registry: Registry, layout: Layout) -> None:
    one = push(registry, layout, "team/one", BASE, tar([Entry("one", b"1")]))
    two = push(registry, layout, "team/two", BASE, tar([Entry("two", b"2")]))
    library = puller()
    first = library.layers(pulled(library, one))
    second = library.layers(pulled(library, two))
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_whiteouts_hide_what_is_below(
    puller: Puller, registry: Registry, layout: Layout, tmp_path: Path
) -> None:
    top = tar(
        [
            directory("etc"),
            Entry("etc/.wh.hello"),
            Entry("etc/new", b"above"),
            directory("old"),
            Entry("old/.wh..wh..opq"),
            Entry("old/g", b"y"),
        ]
    )
    reference = push(registry, layout, "team/whiteouts", BASE, top)
    library = puller()
    layers = library.layers(pulled(library, reference))
    assert sorted(merged(layers, tmp_path)) == ["etc", "etc/new", "old", "old/g"]


def test_a_directory_that_replaces_a_deleted_one_hides_it(
    puller: Puller, registry: Registry, layout: Layout, tmp_path: Path
) -> None:
    top = tar([directory("old"), Entry("old/g", b"y"), Entry(".wh.old")])
    reference = push(registry, layout, "team/replaced", BASE, top)
    library = puller()
    layers = library.layers(pulled(library, reference))
    assert sorted(merged(layers, tmp_path)) == ["etc", "etc/hello", "old", "old/g"]


def test_the_environment_of_an_image_is_known(
    puller: Puller, registry: Registry, layout: Layout
) -> None:
    env = ["PATH=/opt/bin", "EMPTY=", "no equals", "BAD-NAME=1"]
    library = puller()
    image = pulled(library, push(registry, layout, "team/env", BASE, env=env))
    assert library.image_env(image) == {"PATH": "/opt/bin", "EMPTY": ""}


def test_a_hostile_layer_writes_nothing_outside(
    puller: Puller, registry: Registry, layout: Layout, settings: object
) -> None:
    marker = Path("/var/tmp/alcove-hostile-marker")
    top = tar(
        [
            symlink("escape", "/"),
            symlink("up", "../../../../../../../../var/tmp"),
            Entry("escape/var/tmp/alcove-hostile-marker", b"bad"),
            Entry("up/alcove-hostile-marker", b"bad"),
            Entry("/var/tmp/alcove-hostile-marker", b"bad"),
            device("dev/mem"),
            symlink("etc", "/etc"),
            Entry("etc/alcove-hostile-marker", b"bad"),
        ]
    )
    library = puller()
    layers = library.layers(pulled(library, push(registry, layout, "team/hostile", BASE, top)))
    assert not marker.exists()
    assert not Path("/etc/alcove-hostile-marker").exists()
    assert not os.path.lexists(layers[1] / "dev/mem")
    assert (layers[1] / "var/tmp/alcove-hostile-marker").read_bytes() == b"bad"


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([Entry("../../outside", b"x")], "outside of the image"),
        ([Entry("x", b"x", uid=70000)], "ids above 65535"),
        ([Entry("dir/.wh...", b"")], "a whiteout of"),
        ([Entry("link", kind=tarfile.LNKTYPE, link="/etc/shadow")], "No such file"),
    ],
)
def test_a_layer_that_cannot_be_unpacked_as_it_says_fails(
    puller: Puller, registry: Registry, layout: Layout, entries: list[Entry], reason: str
) -> None:
    name = f"team/bad-{abs(hash(reason))}"
    reference = push(registry, layout, name, tar(entries))
    library = puller()
    status = finished(library, OciImage(*library.pin(reference)))
    assert status.state == "failed"
    assert re.search(reason, status.detail), status.detail


def test_a_loop_of_links_gives_way_to_what_is_put_below_it(
    puller: Puller, registry: Registry, layout: Layout
) -> None:
    loop = tar([symlink("a", "b"), symlink("b", "a"), Entry("a/x", b"1")])
    library = puller()
    [layer] = library.layers(pulled(library, push(registry, layout, "team/loop", loop)))
    assert (layer / "a/x").read_bytes() == b"1"


def test_attributes_of_overlayfs_cannot_be_brought_along(
    puller: Puller, registry: Registry, layout: Layout
) -> None:
    headers = {
        "SCHILY.xattr.trusted.overlay.redirect": "/etc",
        "SCHILY.xattr.user.overlay.opaque": "y",
        "SCHILY.xattr.user.kept": "yes",
    }
    entry = Entry("d", kind=tarfile.DIRTYPE, mode=0o755, headers=headers)
    library = puller()
    [layer] = library.layers(
        pulled(library, push(registry, layout, "team/attributes", tar([entry])))
    )
    assert os.listxattr(layer / "d") == ["user.kept"]


def test_content_that_is_not_what_the_configuration_says_is_refused(
    puller: Puller, registry: Registry, layout: Layout
) -> None:
    lie = f"sha256:{'0' * 64}"
    reference = push(registry, layout, "team/lie", BASE, diff_ids=[lie])
    library = puller()
    status = finished(library, OciImage(*library.pin(reference)))
    assert status.state == "failed"
    assert "its content is sha256:" in status.detail


def test_a_missing_image_is_told_as_such(puller: Puller, registry: Registry) -> None:
    with pytest.raises(DriverError, match="no such image; check the name") as caught:
        puller().pin(f"{registry.host}/team/nonesuch:1")
    assert not caught.value.retry


def test_a_registry_that_refuses_us_names_the_remedy(puller: Puller, registry: Registry) -> None:
    with pytest.raises(DriverError, match="registry_auth_file"):
        puller(registry_auth_file="").pin(f"{registry.host}/team/pinned:1.0")


def test_an_unknown_authority_names_the_remedy(puller: Puller, registry: Registry) -> None:
    with pytest.raises(DriverError, match="ca_bundle"):
        puller(ca_bundle="").pin(f"{registry.host}/team/pinned:1.0")


def test_a_registry_without_tls_is_used_only_when_listed(
    puller: Puller, layout: Layout, tmp_path: Path
) -> None:
    plain = Registry(tmp_path, tls=False, password=False)
    try:
        reference = push(plain, layout, "team/plain", BASE)
        with pytest.raises(DriverError, match="insecure_registries"):
            puller(registry_auth_file="").pin(reference)
        library = puller(registry_auth_file="", insecure_registries=(plain.host,))
        assert library.layers(pulled(library, reference))
    finally:
        plain.close()


def test_a_registry_that_does_not_answer_is_worth_another_try(puller: Puller) -> None:
    with pytest.raises(DriverError, match="does not answer") as caught:
        puller().pin("127.0.0.1:9/team/x")
    assert caught.value.retry


def test_the_password_is_in_no_log(puller: Puller, registry: Registry, layout: Layout) -> None:
    library = puller()
    image = pulled(library, push(registry, layout, "team/secret", BASE))
    assert "asking" in library.log(image.key)
    assert "auth" not in library.log(image.key)


def merged(layers: list[Path], place: Path) -> list[str]:
    """What an overlay of the layers shows."""
    target = place / "merged"
    target.mkdir()
    lower = ":".join(str(layer) for layer in reversed(layers))
    script = 'mount -t overlay overlay -o "lowerdir=$0" "$1" && cd "$1" && find . -mindepth 1'
    command = ["unshare", "-m", "sh", "-c", script, lower, str(target)]
    found = subprocess.check_output(command, text=True).split()
    return [path.removeprefix("./") for path in found]
