"""Where things are on the server's machine, and which checkout this program runs from."""

import hashlib
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import alcove

_SOURCES: Final = ("src", "agent", "frontend/src", "templates")
_FILES: Final = (
    "pyproject.toml",
    "uv.lock",
    "hatch_build.py",
    "frontend/build.mjs",
    "frontend/package-lock.json",
)


@dataclass(frozen=True, slots=True)
class Layout:
    """The directories of one installation."""

    data_dir: Path

    @property
    def config(self) -> Path:
        return self.data_dir / "alcove.toml"

    @property
    def apps(self) -> Path:
        """Installed copies of the program, by digest; `current` points at the one in use."""
        return self.data_dir / "app"

    @property
    def current(self) -> Path:
        return self.apps / "current"

    @property
    def log_dir(self) -> Path:
        return self.data_dir / "log"

    @property
    def run_dir(self) -> Path:
        return self.data_dir / "run"

    @property
    def lock(self) -> Path:
        """Held, and its pid written inside, by the supervisor for as long as it lives."""
        return self.run_dir / "supervisor.lock"

    @property
    def admin_socket(self) -> Path:
        return self.data_dir / "server/admin.sock"


def checkout() -> Path | None:
    """The source tree this program runs from, or None when it was installed as a package."""
    root = Path(alcove.__file__).resolve().parents[2]
    return root if (root / "hatch_build.py").exists() and (root / "agent").is_dir() else None


def source_digest(root: Path) -> str:
    """16 characters that change whenever anything that gets installed does."""
    digest = hashlib.sha256()
    paths = [root / name for name in _FILES if (root / name).exists()]
    for name in _SOURCES:
        paths += sorted(p for p in (root / name).rglob("*") if p.is_file() and _counts(p))
    for path in paths:
        digest.update(str(path.relative_to(root)).encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _counts(path: Path) -> bool:
    return "__pycache__" not in path.parts and path.parent.name not in {"bin", "built"}


def home_of(user: str) -> Path:
    """The home directory of a user of this machine. Raises KeyError for an unknown one."""
    return Path(pwd.getpwnam(user).pw_dir)
