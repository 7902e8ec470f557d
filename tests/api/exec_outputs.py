"""What a command wrote, kept as the server keeps it."""

from alcove.core import exec_outputs
from alcove.core.exec_outputs import Keeping, Ran, detail_of
from alcove.core.intents import event
from alcove.model.access import Actor
from alcove.model.event import EventKind
from alcove.model.exec_output import ExecOutput
from tests.api.served import Served


async def made_output(
    api: Served,
    owner: Actor,
    stdout: bytes = b"hello\n",
    *,
    stderr: bytes = b"",
    command: str = "make test",
    by: Actor | None = None,
) -> ExecOutput:
    """Of a command in a new workspace of this owner's."""
    core, workspace, actor = api.core, await api.workspace(owner), by or owner
    kept = Keeping(core.settings.exec_output_bytes)
    kept.stdout.add(stdout)
    kept.stderr.add(stderr)
    ran = Ran([command], 0, 12.5, core.clock())
    made = exec_outputs.made(core, actor, workspace, ran, kept)
    assert made is not None
    told = event(EventKind.EXEC_FINISHED, actor, workspace, detail_of(made), at=ran.at)
    await core.journal.record(told, made)
    await core.journal.flush(core)
    return made
