"""Answers that last, with errors before their first byte in Daytona's words."""

from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from alcove.api.compat.daytona.errors import response_for
from alcove.api.streaming import Streaming, Writer
from alcove.core.file_links import CREDENTIAL


class Streamed(Streaming):
    """Runs `fill` for as long as the client is there and may have it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        writer = Writer(send, self.status_code, self.head)
        # A signature was good for this one file, and is no credential to look at again.
        error = await self.run(receive, writer, recheck=self.actor.credential != CREDENTIAL)
        if error is None:
            await writer.end()
        elif writer.started:
            raise error
        else:
            await response_for(error, HTTPConnection(scope))(scope, receive, send)
