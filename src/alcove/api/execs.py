"""`/workspaces/{workspace}/exec`: run a command, and answer when it is over, or as it goes."""

import base64
import codecs
from collections.abc import AsyncIterator
from typing import Annotated, Final

from starlette.requests import Request
from starlette.responses import Response

from alcove.api.answers import answer, documents, exact
from alcove.api.arguments import CoreOf, WorkspaceRef
from alcove.api.idempotency import IdempotencyKey, once
from alcove.api.routing import router
from alcove.api.streaming import EVENT_STREAM, Fill, Streaming, Writer, wants_events
from alcove.core import execs
from alcove.core.agent import Call
from alcove.core.app import Core
from alcove.core.frames import Frame
from alcove.http.access import needs
from alcove.http.body import body
from alcove.model.access import Actor, Permission
from alcove.model.errors import FieldError, Invalid, Unavailable
from alcove.wire.execs import ExecAnswer, ExecExit, ExecOutput, ExecRequest

routes = router("exec")
BODY_MAX: Final = 4 << 20
_NAMES: Final = {Frame.STDOUT: "stdout", Frame.STDERR: "stderr"}
_EXAMPLE: Final = (
    'event: stdout\ndata: {"data":"hello\\n","encoding":"utf-8"}\n\n'
    'event: exit\ndata: {"exit_code":0,"signal":null,"duration_ms":1.5,"error":null}\n\n'
)


@routes.post(
    "/workspaces/{workspace}/exec",
    **documents(ExecAnswer, 400, 404, 409, 413, 415, events=_EXAMPLE),
)
async def run(
    request: Request,
    core: CoreOf,
    actor: Annotated[Actor, needs(Permission.WORKSPACE_EXEC)],
    ref: WorkspaceRef,
    asked: Annotated[ExecRequest, body(ExecRequest, size_max=BODY_MAX)],
    key: IdempotencyKey = None,
) -> Response:
    """Run a command in a running workspace. With `Accept: text/event-stream` its output comes as
    events `stdout` and `stderr` as it is written, and `exit` is the last."""
    call = call_of(asked)
    if wants_events(request):
        return Streaming(core, actor, _streamed(core, actor, ref, call), media_type=EVENT_STREAM)

    async def act() -> Response:
        return answer(_answer(await execs.run(core, actor, ref, call)))

    return await once(request, actor, key, act)


def call_of(asked: ExecRequest) -> Call:
    """Raises Invalid for a stdin that is not base64."""
    return Call(
        command=execs.shell(asked.command) if isinstance(asked.command, str) else asked.command,
        cwd=asked.cwd,
        env=asked.env or {},
        user=asked.user,
        stdin=_stdin(asked),
        timeout_s=asked.timeout,
    )


def _stdin(asked: ExecRequest) -> bytes | bool:
    if asked.stdin is not None:
        return asked.stdin.encode()
    if asked.stdin_base64 is None:
        return False
    try:
        return base64.b64decode(asked.stdin_base64, validate=True)
    except ValueError:
        said = "is not base64"
        raise Invalid(f"stdin_base64: {said}", [FieldError("stdin_base64", said)]) from None


def _answer(result: execs.ExecResult) -> ExecAnswer:
    stdout, stderr = result.stdout, result.stderr
    return ExecAnswer(
        exit_code=result.exit_code,
        signal=_signal(result.signal),
        stdout=stdout.decode("utf-8", "replace"),
        stderr=stderr.decode("utf-8", "replace"),
        stdout_base64=exact(stdout),
        stderr_base64=exact(stderr),
        truncated=result.truncated,
        duration_ms=result.duration_ms,
        error=result.error,
    )


def exit_of(payload: bytes) -> ExecExit:
    """How a process ended, from the agent's words."""
    ended = execs.read_exit(payload)
    return ExecExit(
        exit_code=ended.exit_code,
        signal=_signal(ended.signal),
        duration_ms=ended.duration_ms,
        error=ended.error,
    )


def _signal(name: str | None) -> str | None:
    """`KILL`: what goes in as a signal's name also comes out so."""
    return name.removeprefix("SIG") if name else None


def _streamed(core: Core, actor: Actor, ref: str, call: Call) -> Fill:
    async def fill(writer: Writer) -> None:
        async with execs.stream(core, actor, ref, call) as frames:
            await _copy(frames, writer)

    return fill


async def _copy(frames: AsyncIterator[tuple[Frame, bytes]], writer: Writer) -> None:
    texts = {kind: Texts() for kind in _NAMES}
    async for kind, payload in frames:
        if kind in _NAMES:
            for output in texts[kind].feed(payload):
                await writer.event(_NAMES[kind], output)
        elif kind is Frame.EXIT:
            for name, text in texts.items():
                for output in text.end():
                    await writer.event(_NAMES[name], output)
            await writer.event("exit", exit_of(payload))
            return
    raise Unavailable("the workspace's agent went away before the command ended")


class Texts:
    """Bytes as text where they are; a character that is cut between two pieces is held back."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def feed(self, data: bytes) -> list[ExecOutput]:
        held = self._decoder.getstate()[0]
        try:
            text = self._decoder.decode(data)
        except UnicodeDecodeError:
            self._decoder.reset()
            return [_binary(held + data)]
        return [ExecOutput(data=text)] if text else []

    def end(self) -> list[ExecOutput]:
        held = self._decoder.getstate()[0]
        self._decoder.reset()
        return [_binary(held)] if held else []


def _binary(data: bytes) -> ExecOutput:
    return ExecOutput(data=base64.b64encode(data).decode(), encoding="base64")
