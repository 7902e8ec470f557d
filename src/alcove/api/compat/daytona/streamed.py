"""Answers that last, with errors before their first byte in Daytona's words."""

from collections.abc import Mapping

import anyio
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from alcove.api.compat.daytona.errors import response_for
from alcove.api.streaming import Fill, Writer
from alcove.core.app import Core
from alcove.core.file_links import CREDENTIAL
from alcove.core.standing import still_allowed
from alcove.model.access import Actor


class Streamed(Response):
    """Runs `fill` for as long as the client is there and may have it."""

    def __init__(
        self,
        core: Core,
        actor: Actor,
        fill: Fill,
        *,
        media_type: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._core = core
        self._actor = actor
        self._fill = fill
        self._head = {"content-type": media_type, **(headers or {})}
        self.background = None
        self.status_code = 200

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        writer = Writer(send, self.status_code, self._head)
        failed: list[Exception] = []

        async def watch_client() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()

        async def watch_actor() -> None:
            try:
                await still_allowed(self._core, self._actor)
            except Exception as error:
                failed.append(error)
                tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch_client)
            if self._actor.credential != CREDENTIAL:
                # A signature was good for this one file, and is no credential to look at again.
                tasks.start_soon(watch_actor)
            try:
                await self._fill(writer)
            except Exception as error:
                failed.append(error)
            tasks.cancel_scope.cancel()
        if not failed:
            await writer.end()
        elif writer.started:
            raise failed[0]
        else:
            await response_for(failed[0], HTTPConnection(scope))(scope, receive, send)
