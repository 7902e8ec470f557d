"""Keeping a sandbox's state, and making more of it."""

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import Field

from alcove.core import identity, snapshots
from alcove.mcp.calls import Result, Tool, Use
from alcove.mcp.tools.fields import Sandbox
from alcove.mcp.tools.sandboxes import WAIT_S, SandboxInfo, info_of, until_ready
from alcove.model.access import Permission
from alcove.model.errors import Unavailable
from alcove.model.snapshot import SnapshotState
from alcove.wire.base import Answer, Name, Request
from alcove.wire.snapshots import Fork, NewSnapshot
from alcove.wire.workspaces import SnapshotRef

FORKS_MAX: Final = 10


class SnapshotInfo(Answer):
    id: str
    name: str
    state: str
    """`taking` or `ready`."""
    memory: bool
    """Whether processes and their memory are in it, or files only."""
    size_mib: int
    created_at: datetime
    expires_at: datetime | None


class Forked(Answer):
    items: list[SandboxInfo]


class SnapshotArguments(Request):
    sandbox: Sandbox
    name: Annotated[SnapshotRef | None, Field(description="Made up when left out.")] = None


class ForkArguments(Request):
    sandbox: Sandbox
    count: Annotated[int, Field(ge=1, le=FORKS_MAX)] = 1
    name: Annotated[
        Name | None, Field(description="Of the fork; several get -1, -2, … after it.")
    ] = None


async def take(use: Use, asked: SnapshotArguments) -> Result:
    new = NewSnapshot() if asked.name is None else NewSnapshot(name=asked.name)
    made = await snapshots.take(use.core, use.actor, asked.sandbox, new)
    found = await snapshots.wait(use.core, use.actor, made.id, timeout_s=WAIT_S)
    if found.state is SnapshotState.FAILED:
        raise Unavailable(f"the snapshot of {asked.sandbox} failed: {found.detail}")
    answer = SnapshotInfo(
        id=found.id,
        name=found.name,
        state=found.state,
        memory=found.memory,
        size_mib=found.size_mib,
        created_at=found.created_at,
        expires_at=found.expires_at,
    )
    holds = "files, processes and memory" if found.memory else "files, not processes"
    text = (
        f"Snapshot {found.name} ({found.id}) is {found.state}. It holds {holds}. "
        "create_sandbox with snapshot begins from it."
    )
    return Result(text, answer)


async def fork(use: Use, asked: ForkArguments) -> Result:
    wanted = Fork(count=asked.count, name=asked.name)
    made = await snapshots.fork(use.core, use.actor, asked.sandbox, wanted)
    forks = [await until_ready(use, one.id, wait_s=WAIT_S) for one in made]
    names = await identity.names(use.core, {one.owner for one in forks})
    items = [info_of(one, names[one.owner]) for one in forks]
    lines = [f"{item.name} ({item.id}): {item.phase} {item.reason}".rstrip() for item in items]
    return Result("\n".join(lines), Forked(items=items))


TOOLS: Final[tuple[Tool[Any], ...]] = (
    Tool(
        name="snapshot_sandbox",
        title="Keep a sandbox's state",
        description=(
            "Keep the state of a sandbox as it is now, to begin others from it with "
            "create_sandbox (snapshot). Use it after a long setup. The sandbox goes on. Whether "
            "processes are in it depends on its isolation; the answer says so."
        ),
        permission=Permission.SNAPSHOT_WRITE,
        arguments=SnapshotArguments,
        answer=SnapshotInfo,
        run=take,
    ),
    Tool(
        name="fork_sandbox",
        title="Fork a sandbox",
        description=(
            f"Make up to {FORKS_MAX} copies of a sandbox as it is now, to try several things "
            "at once. Each is a sandbox of its own, to be deleted by itself; the first goes on."
        ),
        permission=Permission.SNAPSHOT_WRITE,
        arguments=ForkArguments,
        answer=Forked,
        run=fork,
    ),
)
