"""`process/…`: run a command or a piece of code to its end."""

from typing import Annotated, Final, TypeAlias

from pydantic import Field
from starlette.responses import Response

from alcove.api.arguments import CoreOf
from alcove.api.compat.daytona.creating import Asked, unsupported
from alcove.api.compat.daytona.errors import Refused
from alcove.api.compat.daytona.routing import TOOLBOX, SandboxRef, json, router
from alcove.core import execs
from alcove.core.agent import Call
from alcove.http.access import needs
from alcove.http.body import body
from alcove.model.access import Actor, Permission
from alcove.wire.base import Env

routes = router(TOOLBOX + "/{sandbox}/process")
Runner: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_EXEC)]
BODY_MAX: Final = 4 << 20
CODE_MAX: Final = 2 << 20
Timeout = Annotated[int, Field(ge=0, le=execs.TIMEOUT_MAX_S)]
Command = Annotated[str, Field(min_length=1, max_length=128 << 10, pattern=r"^[^\x00]+$")]

_JOINED: Final = 'exec "${SHELL:-/bin/sh}" -c "$0" 2>&1'
"""Both outputs in one, in the order in which they were written."""
_TYPESCRIPT: Final = """
if command -v tsx >/dev/null 2>&1; then exec tsx - "$@" 2>&1; fi
if command -v ts-node >/dev/null 2>&1; then exec ts-node - "$@" 2>&1; fi
if node -e 'process.exit(process.features.typescript ? 0 : 1)' 2>/dev/null; then
  exec node --input-type=commonjs-typescript - "$@" 2>&1
fi
echo "typescript: neither tsx nor ts-node is in the image, and node has no types of its own"
exit 127
"""
_RUNNERS: Final = {
    "python": 'exec python3 -u - "$@" 2>&1',
    "javascript": 'exec node - "$@" 2>&1',
    "typescript": _TYPESCRIPT,
}


class ExecuteRequest(Asked):
    command: Command
    cwd: str | None = None
    envs: Env | None = None
    timeout: Timeout | None = None


class CodeRunRequest(Asked):
    code: Annotated[str, Field(max_length=CODE_MAX)]
    language: str = "python"
    argv: (
        Annotated[list[Annotated[str, Field(pattern=r"^[^\x00]*$")]], Field(max_length=256)] | None
    ) = None
    envs: Env | None = None
    timeout: Timeout | None = None


@routes.post("/execute")
async def execute(
    core: CoreOf,
    actor: Runner,
    ref: SandboxRef,
    asked: Annotated[ExecuteRequest, body(ExecuteRequest, size_max=BODY_MAX)],
) -> Response:
    """A shell line; `result` is both outputs in one."""
    call = Call(
        command=("/bin/sh", "-c", _JOINED, asked.command),
        shown=(asked.command,),
        cwd=asked.cwd or None,
        env=asked.envs or {},
        timeout_s=asked.timeout or None,
    )
    ended = _in_time(await execs.run(core, actor, ref, call), asked.timeout)
    return json({"exitCode": ended.exit_code, "result": _text(ended.stdout)})


@routes.post("/code-run")
async def code_run(
    core: CoreOf,
    actor: Runner,
    ref: SandboxRef,
    asked: Annotated[CodeRunRequest, body(CodeRunRequest, size_max=BODY_MAX)],
) -> Response:
    """A program, given to its interpreter as its standard input."""
    runner = _RUNNERS.get(asked.language)
    if runner is None:
        raise unsupported("language", f"{asked.language[:32]!r} is none of {', '.join(_RUNNERS)}")
    argv = asked.argv or []
    call = Call(
        command=("/bin/sh", "-c", runner, "sh", *argv),
        shown=(asked.language, "-", *argv),
        env=asked.envs or {},
        stdin=asked.code.encode(),
        timeout_s=asked.timeout or None,
    )
    ended = _in_time(await execs.run(core, actor, ref, call), asked.timeout)
    return json(
        {
            "exitCode": ended.exit_code,
            "result": _text(ended.stdout),
            "artifacts": {"charts": []},
        }
    )


def _in_time(ended: execs.ExecResult, timeout: int | None) -> execs.ExecResult:
    """Raises Refused for one that was ended because its time was over."""
    if timeout and ended.signal and ended.error and ended.duration_ms >= timeout * 1000:
        said = f"the command was ended after {timeout} s: {ended.error}"
        raise Refused(408, "PROCESS_EXECUTION_TIMEOUT", said)
    return ended


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
