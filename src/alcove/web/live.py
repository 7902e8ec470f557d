"""`/live`: the names of what changed, for as long as a page is open.

The stream says which things changed and nothing about them; the page asks for them again, so
that each answer is what its reader may see by then.
"""

from typing import Annotated, Final

import anyio
from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from alcove.core import events
from alcove.core.app import Core
from alcove.core.standing import still_allowed
from alcove.http.access import needs_sign_in
from alcove.model.access import Actor
from alcove.model.errors import AlcoveError
from alcove.store.events import EVERYTHING
from alcove.web.pages import CoreOf, router

routes = router()
BEAT_S: Final = 15.0
MERGE_S: Final = 0.03
"""What changes together is told together."""
NOUNS: Final = frozenset(
    {
        "audit",
        "channel",
        "device",
        "exec",
        "file",
        "image",
        "orphan",
        "pool",
        "port",
        "recording",
        "session",
        "sign_in_link",
        "snapshot",
        "ssh_certificate",
        "ssh_key",
        "template",
        "token",
        "user",
        "workspace",
    }
)


@routes.get("/live")
async def follow(
    request: Request,
    core: CoreOf,
    actor: Annotated[Actor, needs_sign_in()],
    of: Annotated[str, Query(max_length=256)] = "workspace",
) -> Response:
    """Server-sent events `changed`, each with names in lines: `workspace ws-…`."""
    return LiveStream(core, actor, frozenset(of.split(",")) & NOUNS)


class LiveStream(Response):
    """Goes on until the page is closed, or its reader may not read any more."""

    def __init__(self, core: Core, actor: Actor, nouns: frozenset[str]) -> None:
        self._core = core
        self._actor = actor
        self._nouns = nouns
        self.background = None
        self.status_code = 200

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = [(b"content-type", b"text/event-stream"), (b"x-accel-buffering", b"no")]

        async def write(data: str) -> None:
            await send({"type": "http.response.body", "body": data.encode(), "more_body": True})

        visible = events.visible_to(self._actor, EVERYTHING)

        async def tell() -> None:
            nouns = frozenset[str]() if visible is None else self._nouns
            with self._core.news.watch(visible or EVERYTHING, nouns) as watcher:
                await send({"type": "http.response.start", "status": 200, "headers": head})
                await write("retry: 1000\nevent: ready\ndata: \n\n")
                while True:
                    with anyio.move_on_after(BEAT_S) as beat:
                        names = await watcher.next()
                        lines = "".join(f"data: {name}\n" for name in sorted(names))
                        await write(f"event: changed\n{lines}\n")
                        await anyio.sleep(MERGE_S)
                    if beat.cancelled_caught:
                        await write(": beat\n\n")

        async def watch_client() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()

        async def watch_actor() -> None:
            try:
                await still_allowed(self._core, self._actor)
            except AlcoveError:
                tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch_client)
            tasks.start_soon(watch_actor)
            tasks.start_soon(tell)
        # A page that is still open connects again and is told then that it is signed out.
        await send({"type": "http.response.body", "body": b"", "more_body": False})
