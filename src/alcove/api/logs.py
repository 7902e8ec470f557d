"""`/workspaces/{workspace}/logs`: lines of the image's build, the start-up and the agent."""

from typing import Annotated, Final

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from alcove.api.answers import answer, documents
from alcove.api.arguments import CoreOf, WorkspaceRef
from alcove.api.routing import router
from alcove.api.streaming import EVENT_STREAM, Streaming, Writer, closing, wants_events
from alcove.core import logs
from alcove.core.logs import LogLine as Line
from alcove.http.access import needs
from alcove.model.access import Actor, Permission
from alcove.wire.files import LogLine, LogLines

routes = router("logs")
LINES_MAX: Final = 20_000
_EXAMPLE: Final = 'id: 7\nevent: log\ndata: {"offset":7,"source":"clone","line":"done"}\n\n'


@routes.get("/workspaces/{workspace}/logs", **documents(LogLines, 404, 409, events=_EXAMPLE))
async def read(
    request: Request,
    core: CoreOf,
    actor: Annotated[Actor, needs(Permission.WORKSPACE_READ)],
    ref: WorkspaceRef,
    follow: Annotated[bool, Query(description="Go on, as server-sent events.")] = False,
    after: Annotated[int, Query(ge=-1, le=2**53, description="Only lines behind this one.")] = -1,
) -> Response:
    """The lines so far; with `follow` also those to come, each an event `log` whose `id:` is its
    offset, taken up again by `Last-Event-ID`."""
    start = _resumed(request, after) + 1
    if not follow and not wants_events(request):
        lines: list[LogLine] = []
        async with closing(logs.read(core, actor, ref, after=start)) as found:
            async for line in found:
                lines.append(_present(line))
                if len(lines) == LINES_MAX:
                    break
        return answer(LogLines(items=lines))

    async def fill(writer: Writer) -> None:
        async with closing(logs.read(core, actor, ref, follow=True, after=start)) as found:
            async for line in found:
                id = line.offset if line.offset >= 0 else None
                await writer.event("log", _present(line), id=id)

    return Streaming(core, actor, fill, media_type=EVENT_STREAM)


def _resumed(request: Request, after: int) -> int:
    last = request.headers.get("last-event-id", "")
    return int(last) if last.isdecimal() and len(last) < 16 else after


def _present(line: Line) -> LogLine:
    return LogLine(offset=line.offset, at=line.at, source=line.source, line=line.line)
