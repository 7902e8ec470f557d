"""The images of this host: what `ports.Images` promises, put together from shelf and builders.

The one rule: an image is ready exactly when its record is on the shelf.
"""

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from alcove.drivers.base import ImageStatus
from alcove.host.images import debian
from alcove.host.images.builds import Builds
from alcove.host.images.debian import DebianBuilder
from alcove.host.images.oci import OciBuilder
from alcove.host.images.runner import Progress
from alcove.host.images.shelf import MIB, Record, Shelf
from alcove.host.settings import HostSettings
from alcove.model.errors import DriverError
from alcove.model.image import DebianImage, Image, OciImage

BUILD_DEADLINE_S: Final = 1800.0
KEY: Final = re.compile(r"[0-9a-f]{32}")


class ImageLibrary:
    """Implements `ports.Images`. Safe to use from several threads."""

    def __init__(
        self,
        settings: HostSettings,
        *,
        now: Callable[[], float] = time.monotonic,
        deadline_s: float = BUILD_DEADLINE_S,
    ) -> None:
        self._shelf = Shelf(settings.images_dir)
        self._shelf.sweep()
        self._debian = DebianBuilder(settings, self._shelf)
        self._oci = OciBuilder(settings, self._shelf)
        self._builds = Builds(now, deadline_s=deadline_s)

    def layers(self, image: Image) -> list[Path]:
        record = self._shelf.record(image.key)
        if record is None:
            raise DriverError(f"{_title(image)} is not ready; prepare it first", retry=True)
        return [self._shelf.layer(name) for name in record.layers]

    def status(self, image: Image) -> ImageStatus:
        return self._status(image.key)

    def prepare(self, image: Image, *, awaited: bool = False) -> ImageStatus:
        if self._shelf.record(image.key) is None:
            work, log = self._work(image), self._shelf.log_path(image.key)
            self._builds.request(image.key, work, log, awaited=awaited)
        return self._status(image.key)

    def statuses(self) -> list[ImageStatus]:
        keys = {record.key for record in self._shelf.records()} | set(self._builds.known())
        return [self._status(key) for key in sorted(keys)]

    def collect(self, keep: Sequence[str], in_use: Sequence[str]) -> list[str]:
        """Nothing is removed while a build runs: it may be about to use a layer."""
        wanted = {*keep, *in_use}
        removed: list[str] = []

        def act() -> None:
            for record in self._shelf.records():
                if record.key not in wanted:
                    self._shelf.remove_record(record.key)
                    removed.append(record.key)
            self._shelf.remove_unused_layers()

        self._builds.exclusively(act)
        for key in self._builds.known():
            if key not in wanted:
                self._builds.forget(key)
        return removed

    def cancel(self, image: Image) -> None:
        """End the build of `image`, if one waits or runs."""
        self._builds.cancel(image.key)

    def close(self) -> None:
        """End what is being built; call it when the process ends."""
        self._builds.close()

    def pin(self, reference: str) -> tuple[str, str]:
        log = self._shelf.directory / "logs" / "pin.log"
        return self._oci.pin(reference, log)

    def image_env(self, image: Image) -> dict[str, str]:
        record = self._shelf.record(image.key)
        return dict(record.env) if record else {}

    def log(self, key: str) -> str:
        return self._shelf.log_tail(key) if KEY.fullmatch(key) else ""

    def _status(self, key: str) -> ImageStatus:
        if record := self._shelf.record(key):
            return ImageStatus(key, "ready", record.title, _mib(record))
        if found := self._builds.status(key):
            return ImageStatus(key, found[0].value, found[1])
        # The build may have ended between the two looks.
        if record := self._shelf.record(key):
            return ImageStatus(key, "ready", record.title, _mib(record))
        return ImageStatus(key, "absent", "nobody asked for it yet")

    def _work(self, image: Image) -> Callable[[Progress], None]:
        match image:
            case DebianImage():
                debian.plan(image)

                def build(progress: Progress) -> None:
                    layers = self._debian.build(image, progress)
                    self._shelf.put_record(
                        image.key, title=debian.title(image), layers=layers, env={}
                    )

                return build
            case OciImage():

                def pull(progress: Progress) -> None:
                    layers, env = self._oci.build(image, progress)
                    self._shelf.put_record(
                        image.key, title=f"{image.reference}", layers=layers, env=env
                    )

                return pull


def _title(image: Image) -> str:
    match image:
        case DebianImage():
            return f"the image {debian.title(image)}"
        case OciImage():
            return f"the image {image.reference}@{image.digest}"


def _mib(record: Record) -> int:
    return -(-record.size_bytes // MIB)
