"""Images that are already there: directories named by the test."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from alcove.drivers.base import ImageStatus
from alcove.model.errors import DriverError
from alcove.model.image import Image


class StaticImages:
    """Key → its layers, bottom first. Nothing is built, and nothing is ever removed."""

    def __init__(self, layers: Mapping[str, Sequence[Path]]) -> None:
        self._layers = {key: list(paths) for key, paths in layers.items()}

    def layers(self, image: Image) -> list[Path]:
        if image.key not in self._layers:
            raise DriverError(f"there is no image {image.key}", retry=False)
        return list(self._layers[image.key])

    def status(self, image: Image) -> ImageStatus:
        if image.key in self._layers:
            return ImageStatus(image.key, "ready", "")
        return ImageStatus(image.key, "failed", "there is no such image")

    def prepare(self, image: Image, *, awaited: bool = False) -> ImageStatus:
        return self.status(image)

    def statuses(self) -> list[ImageStatus]:
        return [ImageStatus(key, "ready", "") for key in self._layers]

    def collect(self, keep: Sequence[str], in_use: Sequence[str]) -> list[str]:
        return []

    def pin(self, reference: str) -> tuple[str, str]:
        raise DriverError(f"{reference} cannot be pulled here", retry=False)

    def image_env(self, image: Image) -> dict[str, str]:
        return {}

    def log(self, key: str) -> str:
        return ""
