"""Runs the real privileged process with images that are already there: `python -m
tests.host.serving SETTINGS.json`. What it serves differs from `alcove host` in nothing else."""

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alcove.host import bundle
from alcove.host.closed_network import ClosedNetwork
from alcove.host.main import prepare, serve, tear_down
from alcove.host.settings import HostSettings
from alcove.host.static_images import StaticImages


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
    data |= {name: Path(data[name]) for name in ("data_dir", "agent", "crash_file")}
    settings = HostSettings(**data)
    bundle.config = weakened(bundle.config, settings.data_dir / "weak")
    run = tear_down if teardown else serve
    return run(settings, prepare(settings), StaticImages(layers), ClosedNetwork())


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], teardown="--teardown" in sys.argv))
