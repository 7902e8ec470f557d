"""An installation of Alcove of its own, beside whatever else runs on the machine.

Made by the same `up` and `down` as any other; only its names, port and directory differ. The
directory is kept between runs, so that images are built once.
"""

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from alcove.ops import admin, defaults, down, up
from alcove.ops.layout import Layout
from demo.gitserver import ADDRESS

DATA_DIR: Final = Path("/var/tmp/alcove-demo")
NAME: Final = "ademo"
HTTP: Final = "127.0.0.1:17080"


@dataclass(frozen=True, slots=True)
class Instance:
    """A running installation and the token of its first admin."""

    name: str
    layout: Layout
    url: str
    token: str

    @property
    def ssh_port(self) -> int:
        """Where its SSH gateway listens, on loopback."""
        return int(_ssh_address(self.url).rpartition(":")[2])


@contextmanager
def running(
    data_dir: Path = DATA_DIR, *, name: str = NAME, http: str = HTTP, **more: object
) -> Generator[Instance]:
    """Bring it up, give it, take it down again."""
    layout = Layout(data_dir)
    data_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    layout.config.write_text(defaults.as_toml({**_settings(name, http), **more}))
    with _sign_in_kept(data_dir / "cli"):
        status = up.run(data_dir=data_dir)
    if status != 0:
        raise RuntimeError(f"the installation below {data_dir} does not come up")
    try:
        answer = admin.ask(layout, "/token", {"name": "demo"})
        yield Instance(name, layout, f"http://{http}", answer["token"])
    finally:
        if down.run(data_dir=data_dir) != 0:
            raise RuntimeError(f"the installation below {data_dir} does not go down")


@contextmanager
def _sign_in_kept(directory: Path) -> Generator[None]:
    """The command line of whoever runs this goes on speaking to their own server."""
    before = dict(os.environ)  # noqa: TID251 - what `up` takes from the caller
    os.environ.pop("SUDO_USER", None)  # noqa: TID251
    os.environ["XDG_CONFIG_HOME"] = str(directory)  # noqa: TID251
    try:
        yield
    finally:
        os.environ.clear()  # noqa: TID251
        os.environ.update(before)  # noqa: TID251


def _settings(name: str, http: str) -> Mapping[str, object]:
    found = defaults.detect()
    networks = cast(list[str], found.get("trusted_networks", []))
    return found | {
        "instance": name,
        "http_address": http,
        "ssh_address": _ssh_address(http),
        "network_pool": "10.214.0.0/16",
        "trusted_networks": [*networks, f"{ADDRESS}/32"],
    }


def _ssh_address(http: str) -> str:
    """Beside the other one, so that two installations on a machine do not meet."""
    host, _, port = http.rpartition(":")
    return f"{host}:{int(port) - 58}"
