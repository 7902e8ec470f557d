"""Install the program where the server's unprivileged user can read it.

The server never runs from a checkout: that may lie where only root can read, and editing it
must not change a running server. Each content has its own directory below `app/`, owned by root;
`current` points at the one in use, the one before is kept.
"""

import grp
import os
import pwd
import shutil
import sys
from pathlib import Path
from typing import Final

from alcove.ops.commands import run
from alcove.ops.layout import Layout, checkout, source_digest
from alcove.ops.steps import Progress, StepFailed

_KEPT: Final = 2
_INTERPRETERS: Final = ("python3.13", "python3.12", "python3.11", "python3")


def install(layout: Layout, progress: Progress) -> bool:
    """Install what the checkout holds now; answers whether anything changed.

    Outside a checkout the program that is running is what gets used. Raises StepFailed.
    """
    root = checkout()
    if root is None:
        return _use_installed(layout, progress)
    digest = source_digest(root)
    target = layout.apps / digest
    if layout.current.resolve() == target and (target / "bin/alcove").exists():
        progress.already(f"version {digest[:8]}")
        return False
    layout.apps.mkdir(parents=True, exist_ok=True)
    layout.apps.chmod(0o755)
    progress.say("building the agent, installing the server")
    _install_from(root, target)
    _point(layout.current, target)
    _forget_old(layout)
    progress.result = f"version {digest[:8]}"
    return True


def ensure_user(name: str, progress: Progress) -> None:
    """The server's own user: no login, no home that anything reads."""
    try:
        pwd.getpwnam(name)
        progress.already()
    except KeyError:
        nowhere = ["--no-create-home", "--home-dir", "/nonexistent"]
        shell = ["--shell", "/usr/sbin/nologin"]
        run(["useradd", "--system", "--user-group", *shell, *nowhere, name])


def ensure_directories(layout: Layout, user: str) -> None:
    """Who owns what, as docs/contracts.md says; existing contents keep their owners."""
    uid, gid = pwd.getpwnam(user).pw_uid, grp.getgrnam(user).gr_gid
    for path, owner, mode in (
        (layout.data_dir, (0, 0), 0o755),
        (layout.data_dir / "server", (uid, gid), 0o700),
        (layout.run_dir, (0, 0), 0o711),
        (layout.log_dir, (0, 0), 0o755),
    ):
        path.mkdir(parents=True, exist_ok=True)
        os.chown(path, *owner)
        path.chmod(mode)


def _install_from(root: Path, target: Path) -> None:
    python = _readable_python()
    shutil.rmtree(target, ignore_errors=True)
    uv = root / ".tools/uv-command"
    command = str(uv) if uv.exists() else shutil.which("uv")
    if command is None:
        raise StepFailed("uv is missing: run `make up` from the checkout, which installs it")
    env = {
        "UV_PROJECT_ENVIRONMENT": str(target),
        "UV_LINK_MODE": "copy",
        "VIRTUAL_ENV": "",
        "PYTHONDONTWRITEBYTECODE": "",
    }
    options = ["--frozen", "--no-dev", "--extra", "server", "--no-editable", "--compile-bytecode"]
    # A mask that lets others read: the caller's may be stricter, and root owns the files.
    before = os.umask(0o022)
    try:
        reinstall = ["--reinstall-package", "alcove"]
        run([command, "sync", "--python", python, *options, *reinstall], env=env, cwd=root)
    finally:
        os.umask(before)


def _readable_python() -> str:
    """An interpreter that every user can run: one in /usr, not in somebody's home."""
    for name in _INTERPRETERS:
        found = shutil.which(name, path="/usr/local/bin:/usr/bin")
        if found is None:
            continue
        real = Path(found).resolve()
        version = run([found, "-c", "import sys; print(*sys.version_info[:2])"]).split()
        if (int(version[0]), int(version[1])) >= (3, 11) and _reachable_by_all(real):
            return found
    raise StepFailed("no Python 3.11 or newer in /usr: `apt-get install python3` and try again")


def _reachable_by_all(path: Path) -> bool:
    return all(p.stat().st_mode & 0o005 == 0o005 for p in (path, *path.parents))


def _use_installed(layout: Layout, progress: Progress) -> bool:
    prefix = Path(sys.prefix)
    if not _reachable_by_all(prefix) or not _reachable_by_all(Path(sys.executable).resolve()):
        raise StepFailed(
            f"{prefix} cannot be read by the server's own user. "
            "Install Alcove where everybody can read, such as /opt/alcove."
        )
    layout.apps.mkdir(parents=True, exist_ok=True)
    if layout.current.resolve() == prefix.resolve():
        progress.already(str(prefix))
        return False
    _point(layout.current, prefix)
    progress.result = str(prefix)
    return True


def _point(link: Path, target: Path) -> None:
    fresh = link.with_name(".current.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.rename(link)


def _forget_old(layout: Layout) -> None:
    current = layout.current.resolve()
    old = [p for p in layout.apps.iterdir() if p.is_dir() and not p.is_symlink() and p != current]
    old.sort(key=lambda p: p.stat().st_mtime, reverse=True)
    for path in old[_KEPT - 1 :]:
        shutil.rmtree(path, ignore_errors=True)
