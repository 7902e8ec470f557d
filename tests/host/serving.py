"""Runs the real privileged process with images that are already there: `python -m
tests.host.serving SETTINGS.json`. What it serves differs from `alcove host` in nothing else."""

import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from alcove.drivers.base import ImageStatus
from alcove.host import bundle, memory
from alcove.host.main import prepare, serve, tear_down
from alcove.host.network import OpenNetwork
from alcove.host.settings import HostSettings
from alcove.model.image import Image
from tests.host.closed_network import ClosedNetwork
from tests.host.static_images import StaticImages


class HeldImages(StaticImages):
    """Not ready while `file` says so: it holds the state, `building` or `failed`."""

    def __init__(self, layers: Mapping[str, Sequence[Path]], file: Path) -> None:
        super().__init__(layers)
        self._file = file

    def status(self, image: Image) -> ImageStatus:
        return self._held(super().status(image))

    def statuses(self) -> list[ImageStatus]:
        return [self._held(status) for status in super().statuses()]

    def _held(self, status: ImageStatus) -> ImageStatus:
        if not self._file.exists():
            return status
        return replace(status, state=self._file.read_text(), detail="unpacking 34 %")


def weakened(config: Callable[..., Any], file: Path) -> Callable[..., Any]:
    """`bundle.config` without the control that `file` names, if it is there."""

    def changed(*given: Any) -> dict[str, Any]:
        made: dict[str, Any] = config(*given)
        match file.read_text() if file.exists() else "":
            case "seccomp":
                del made["linux"]["seccomp"]
            case "capabilities":
                for name in ("bounding", "permitted", "effective"):
                    made["process"]["capabilities"][name].append("CAP_NET_ADMIN")
            case "masked":
                made["linux"]["maskedPaths"] = []
            case "limits":
                del made["linux"]["resources"]["memory"]
            case _:
                pass
        return made

    return changed


def main(path: str, *, teardown: bool) -> int:
    logging.basicConfig(level=logging.INFO)
    data: dict[str, Any] = json.loads(Path(path).read_text())
    layers = {key: [Path(p) for p in paths] for key, paths in data.pop("layers").items()}
    data |= {name: Path(data[name]) for name in ("data_dir", "agent", "crash_file", "tools")}
    opened = bool(data.pop("open_network", False))
    memory.CHECKPOINT_TIMEOUT_S = float(data.pop("checkpoint_s", memory.CHECKPOINT_TIMEOUT_S))
    settings = HostSettings(**data)
    bundle.config = weakened(bundle.config, settings.data_dir / "weak")
    run = tear_down if teardown else serve
    images = HeldImages(layers, settings.data_dir / "held")
    network = OpenNetwork(settings) if opened else ClosedNetwork()
    return run(settings, prepare(settings), images, network)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], teardown="--teardown" in sys.argv))
