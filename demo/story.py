"""One agent's work, from an empty workspace to a pushed branch, and proof that nothing stays."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from alcove import Alcove
from alcove.sdk import NotFound
from demo import leftovers
from demo.instance import Instance
from demo.project import Project, commit_of

_GONE_S: Final = 30.0
_LINE_MAX: Final = 90
_TEMPLATE: Final = "ai-agent-sandbox"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of the story ended with, checked from outside the workspace."""

    workspace: str
    tests: str
    """The last line that the project's own test suite printed."""
    commit: str
    timeline: tuple[str, ...]
    """One line per event about the workspace, with the time since the first."""


def tell(
    instance: Instance, project: Project, repository: str, bare: Path, say: Callable[[str], None]
) -> Outcome:
    """Create, clone, install, test, change, push, delete. Raises RuntimeError where it fails."""
    with Alcove(instance.url, instance.token) as alcove:
        with alcove.workspaces.create(
            template=_TEMPLATE,
            parameters={
                "repo": f"{repository}/{bare.name}",
                "branch": "main",
                "task": f"sign the readme of {project.name}",
                "network": "open",
            },
        ) as workspace:
            say(f"{workspace.name}: {workspace.phase}, cloned from {repository}/{bare.name}")
            if workspace.health != "ok":
                raise RuntimeError(f"{workspace.name} is {workspace.health}")

            def run(line: str, timeout: str = "5m") -> str:
                done = workspace.exec(line, cwd=project.name, timeout=timeout)
                if not done.ok:
                    raise RuntimeError(f"`{line}` ended with {done.exit_code}:\n"
                                       f"{done.stdout[-2000:]}{done.stderr[-2000:]}")  # fmt: skip
                return done.stdout

            run("python3 -m venv .venv")
            run(f"PATH=$PWD/.venv/bin:$PATH; {project.install}")
            say(f"{workspace.name}: installed {project.name} and its test runner")
            tests = run(f"PATH=$PWD/.venv/bin:$PATH; {project.test}").strip().splitlines()[-1]
            say(f"{workspace.name}: its own tests: {tests}")
            commit = _push(run, project, workspace.name)
            if commit_of(bare, workspace.name) != commit:
                raise RuntimeError(f"the server does not have {commit} on {workspace.name}")
            say(f"{workspace.name}: pushed {commit[:10]}, seen on the server's side")
            workspace.delete(wait=True)
        _until_gone(alcove, workspace.id)
        timeline = _timeline(alcove, workspace.id)
    return Outcome(workspace.id, tests, commit, timeline)


def tell_side_by_side(
    instance: Instance,
    project: Project,
    repository: str,
    bare: Path,
    say: Callable[[str], None],
    count: int,
) -> list[Outcome]:
    """The same with several workspaces at once; afterwards nothing of any is left."""
    with ThreadPoolExecutor(count) as threads:
        runs = [
            threads.submit(tell, instance, project, repository, bare, say) for _ in range(count)
        ]
        outcomes = [run.result() for run in runs]
    left = leftovers.of_workspaces(instance, [outcome.workspace for outcome in outcomes])
    if left:
        raise RuntimeError("left behind:\n" + "\n".join(left))
    return outcomes


def _push(run: Callable[[str], str], project: Project, branch: str) -> str:
    """Change a file, commit it, push a branch of the workspace's own; the commit's name."""
    file, line = project.change
    run(f"git checkout --quiet -b {branch}")
    run(f"printf '\\n%s\\n' '{line}' >> {file}")
    run("git commit --quiet --all -m 'Sign the readme'")
    run(f"git push --quiet origin {branch}")
    return run("git rev-parse HEAD").strip()


def _until_gone(alcove: Alcove, workspace: str) -> None:
    deadline = time.monotonic() + _GONE_S
    while time.monotonic() < deadline:
        try:
            if alcove.workspaces.get(workspace).phase == "deleted":
                return
        except NotFound:
            return
        time.sleep(0.1)
    raise RuntimeError(f"{workspace} is still there {_GONE_S:.0f} s after its deletion")


def _timeline(alcove: Alcove, workspace: str) -> tuple[str, ...]:
    events = [e for e in alcove.events.list() if e.subject == workspace]
    if not events:
        raise RuntimeError(f"no event tells of {workspace}")
    start = events[0].at
    return tuple(
        f"{(e.at - start).total_seconds():8.3f} s  {e.type:32} {_short(e.detail)}" for e in events
    )


def _short(detail: Mapping[str, object]) -> str:
    """What an event tells beyond its name, in one line."""
    said = {key: value for key, value in detail.items() if key != "name" and value is not None}
    text = ", ".join(f"{key} {_words(value)}" for key, value in said.items())
    return text if len(text) <= _LINE_MAX else text[: _LINE_MAX - 1] + "…"


def _words(value: object) -> str:
    return (
        " ".join(str(v) for v in cast(list[object], value))
        if isinstance(value, list)
        else str(value)
    )
