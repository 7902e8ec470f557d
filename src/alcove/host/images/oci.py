"""Make an image of a registry ready: fetch by digest, verify, unpack each layer once.

Layers are named after the digest of their unpacked content, so images share them. The one rule:
nothing is unpacked whose digest does not follow from the pinned one.
"""

import hashlib
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, Final

from alcove.host.images import jail as jails
from alcove.host.images import reference as references
from alcove.host.images import registry, runner
from alcove.host.images.jail import Jail, View
from alcove.host.images.registry import Registry
from alcove.host.images.runner import Progress
from alcove.host.images.shelf import Shelf, make_directory
from alcove.host.images.unpack import OPAQUE
from alcove.host.settings import HostSettings
from alcove.model.errors import DriverError
from alcove.model.image import OciImage

LAYERS_MAX: Final = 127
COMPRESSED_BYTES_MAX: Final = 20 << 30
UNPACKED_BYTES_MAX: Final = 40 << 30
CACHE_BYTES_MAX: Final = 8 << 30
ENVIRONMENT_MAX: Final = 200
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,200}")
_MEDIA: Final = re.compile(
    r"application/vnd\.(?:docker\.image\.rootfs(?:\.foreign)?\.diff\.tar"
    r"|oci\.image\.layer(?:\.nondistributable)?\.v1\.tar)(?:[.+](?P<how>gzip|zstd))?"
)


@dataclass(frozen=True, slots=True)
class Blob:
    """A layer as the registry has it. `how`: gzip, zstd or empty; `diff_id`: unpacked digest."""

    digest: str
    how: str
    diff_id: str


@dataclass(frozen=True, slots=True)
class Contents:
    """What an image consists of."""

    blobs: tuple[Blob, ...]
    env: Mapping[str, str]


class OciBuilder:
    """Makes the layers that are missing. Not to be used from two threads at a time, but `pin`."""

    def __init__(self, settings: HostSettings, shelf: Shelf) -> None:
        self._settings = settings
        self._shelf = shelf
        self._registry = Registry(settings)

    def pin(self, text: str, log: Path) -> tuple[str, str]:
        """Resolve a reference to the digest of this machine's manifest. Raises DriverError."""
        ref = references.parse(text)
        progress = Progress(log, deadline_s=60)
        with self._shelf.workplace() as place:
            raw = self._registry.manifest(ref, place, progress)
        digest = _digest(raw)
        if ref.digest and ref.digest != digest:
            raise DriverError(f"{ref.registry} answers {digest} for {ref}", retry=False)
        return ref.name, registry.for_this_machine(raw, ref) or digest

    def build(self, image: OciImage, progress: Progress) -> tuple[list[str], Mapping[str, str]]:
        """Have all layers on the shelf; answers their names, bottom first, and the environment.
        Raises DriverError with a reason for people."""
        ref = references.parse(f"{image.reference}@{references.check_digest(image.digest)}")
        cache = self._shelf.cache("oci")
        blobs = self._shelf.cache("oci", "blobs")
        # The puller owns this directory but not the one above, and so cannot replace it.
        registry.own(self._shelf.cache("oci", "blobs", "sha256"))
        with self._shelf.workplace() as place:
            progress.say(f"asking {ref.registry}")
            raw = self._registry.manifest(ref, place, progress)
            if _digest(raw) != image.digest:
                raise DriverError(f"{ref.registry} answers {_digest(raw)} for {ref}", retry=True)
            if registry.for_this_machine(raw, ref):
                raise DriverError(
                    f"{ref} is a list of images; push the template anew", retry=False
                )
            manifest = registry.read_json(raw, "the manifest")
            size = _check_size(manifest)
            progress.say(f"fetching {size >> 20} MiB from {ref.registry}")
            self._registry.fetch(ref, cache, place, progress)
        contents = self._contents(manifest, blobs)
        names: list[str] = []
        for number, blob in enumerate(contents.blobs, 1):
            name = f"oci-{blob.diff_id.removeprefix('sha256:')}"
            if not self._shelf.has_layer(name):
                title = f"unpacking layer {number} of {len(contents.blobs)}"
                progress.say(title)
                self._unpack(name, blob, blobs, title, progress)
            names.append(name)
        prune(blobs)
        return names, contents.env

    def _contents(self, manifest: Mapping[str, Any], blobs: Path) -> Contents:
        config_digest = references.check_digest(str(_mapping(manifest, "config").get("digest")))
        data = registry.read_document(_blob_path(blobs, config_digest))
        if _digest(data) != config_digest:
            raise DriverError(f"the blob {config_digest} was damaged on its way", retry=True)
        config = registry.read_json(data, "the configuration")
        diff_ids = _mapping(config, "rootfs").get("diff_ids")
        layers = registry.objects(manifest.get("layers"))
        if not isinstance(diff_ids, list) or len(diff_ids) != len(layers):  # pyright: ignore[reportUnknownArgumentType]
            raise DriverError("manifest and configuration disagree on the layers", retry=False)
        found: list[Blob] = []
        for entry, diff_id in zip(layers, diff_ids, strict=True):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            media = _MEDIA.fullmatch(str(entry.get("mediaType")))
            if media is None:
                kind = str(entry.get("mediaType"))[:100]
                raise DriverError(f"layers of type {kind!r} are not supported", retry=False)
            digest = references.check_digest(str(entry.get("digest")))
            unpacked = references.check_digest(str(diff_id))  # pyright: ignore[reportUnknownArgumentType]
            found.append(Blob(digest, media["how"] or "", unpacked))
        return Contents(tuple(found), environment(_mapping(config, "config").get("Env")))

    def _unpack(self, name: str, blob: Blob, blobs: Path, title: str, progress: Progress) -> None:
        path = _blob_path(blobs, blob.digest)
        with self._shelf.workplace() as place, _open(path) as file:
            progress.say(f"{title}: verifying")
            if hashlib.file_digest(file, "sha256").hexdigest() != path.name:
                path.unlink()
                raise DriverError(f"the blob {blob.digest} was damaged on its way", retry=True)
            file.seek(0)
            tree = make_directory(place / "tree")
            steps = UnpackSteps(title, progress)
            code = self._run_unpack(tree, blob, file, progress, steps)
            if code:
                raise DriverError(f"{title} failed: {steps.error or code}", retry=False)
            if steps.diff_id != blob.diff_id:
                raise DriverError(
                    f"{title} failed: its content is {steps.diff_id}, not {blob.diff_id}",
                    retry=False,
                )
            settle(tree)
            self._shelf.put_layer(name, tree)

    def _run_unpack(
        self,
        tree: Path,
        blob: Blob,
        file: BufferedReader,
        progress: Progress,
        steps: "UnpackSteps",
    ) -> int:
        jail = Jail(
            id_base=self._settings.build_ids,
            view=View.LAYER,
            command=jails.GUNZIP if blob.how == "gzip" else (),
            upper=str(tree),
            bytes_max=UNPACKED_BYTES_MAX,
        )
        if blob.how != "zstd":
            return runner.run(jail, progress, steps.read, stdin=file)
        with _unzstd(self._settings, file) as source:
            assert source.stdout
            try:
                return runner.run(jail, progress, steps.read, stdin=source.stdout)
            finally:
                source.kill()


class UnpackSteps:
    """Reads what `unpack` says."""

    def __init__(self, title: str, progress: Progress) -> None:
        self.error = ""
        self.diff_id = ""
        self._title = title
        self._progress = progress

    def read(self, line: str) -> bool:
        word, _, rest = line.partition(" ")
        match word:
            case "unpacked" if rest.isdecimal():
                self._progress.sentence = f"{self._title}: {int(rest) >> 20} MiB"
                return True
            case "diff-id":
                self.diff_id = rest
                return True
            case "E:":
                self.error = rest
                return False
            case _:
                return False


def settle(tree: Path) -> None:
    """Turn the markers that `unpack` left into overlayfs' attribute, which root alone may set.
    Works on open directories, and follows no link: others named what is in them."""
    for _, _, files, directory in os.fwalk(tree, follow_symlinks=False):
        if OPAQUE in files:
            os.setxattr(directory, "trusted.overlay.opaque", b"y")
            os.unlink(OPAQUE, dir_fd=directory)


def environment(value: object) -> dict[str, str]:
    """`Env` of an image's configuration; what is not a variable is left out."""
    found: dict[str, str] = {}
    entries: list[object] = value if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType]
    for entry in entries[:ENVIRONMENT_MAX]:
        name, equals, text = str(entry).partition("=")
        if equals and _VARIABLE.fullmatch(name) and "\0" not in text and len(text) < 32768:
            found[name] = text
    return found


def prune(blobs: Path) -> None:
    """Bound the cache of blobs: the oldest go first."""
    directory = blobs / "sha256"
    if not directory.is_dir() or directory.is_symlink():
        return
    entries = [(p.stat(follow_symlinks=False), p) for p in directory.iterdir()]
    total = 0
    for status, path in sorted(entries, key=lambda entry: entry[0].st_mtime, reverse=True):
        total += status.st_size
        if total > CACHE_BYTES_MAX:
            path.unlink(missing_ok=True)


def _unzstd(settings: HostSettings, file: IO[bytes]) -> subprocess.Popen[bytes]:
    """Python has no zstd: the program decompresses, in a jail of its own."""
    jail = Jail(
        id_base=settings.build_ids,
        view=View.HOST,
        command=("zstd", "-dcq"),
        env={"PATH": "/usr/bin:/bin"},
        user=registry.PULLER,
    )
    plan_read, plan_write = os.pipe()
    with os.fdopen(plan_write, "wb") as pipe:
        pipe.write(jails.encode(jail))
    try:
        return subprocess.Popen(
            jails.command_line(plan_read),
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=[plan_read],
            env={"PATH": "/usr/bin:/bin"},
            start_new_session=True,
        )
    finally:
        os.close(plan_read)


def _check_size(manifest: Mapping[str, Any]) -> int:
    layers = registry.objects(manifest.get("layers"))
    sizes = [entry.get("size") for entry in layers]
    if not layers or len(layers) > LAYERS_MAX:
        raise DriverError(f"{len(layers)} layers; between 1 and {LAYERS_MAX} do", retry=False)
    total = sum(size for size in sizes if isinstance(size, int) and size > 0)
    if total > COMPRESSED_BYTES_MAX:
        limit = COMPRESSED_BYTES_MAX >> 30
        raise DriverError(f"{total >> 20} MiB to fetch; {limit} GiB are allowed", retry=False)
    return total


def _mapping(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = registry.objects([document.get(name)])
    return found[0] if found else {}


def _blob_path(blobs: Path, digest: str) -> Path:
    return blobs / "sha256" / digest.removeprefix("sha256:")


def _open(path: Path) -> BufferedReader:
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
