"""`Idempotency-Key`: a POST that is sent again gets the answer that the first one got.

`once(…)` wraps the act of a handler. The key belongs to the user; it is kept for 24 hours with a
hash of the request. Another body under the same key is a 409, and so is the same one while the
first is under way. Answers that hold a secret are not stored: the repetition is a 409 that says
so. What failed on our side (5xx, 429) gives the key back, so that trying again tries again.
"""

import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated, Final, TypeAlias

import anyio
from fastapi import Header
from starlette.requests import Request
from starlette.responses import Response

from alcove.api.answers import Json
from alcove.core.app import Core
from alcove.core.identity import KEYS_KEPT
from alcove.http.access import core_of
from alcove.http.body import raw_body
from alcove.http.problem import MEDIA_TYPE, HttpError, describe
from alcove.model.access import Actor
from alcove.model.errors import AlcoveError, Conflict, TooMany
from alcove.store import idempotency

ABANDONED: Final = timedelta(minutes=5)
"""A first request that has not ended after this was cut off by a crash."""
_KEY: Final = re.compile(r"[\x21-\x7e]{1,128}")

IdempotencyKey: TypeAlias = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Send the same key again and get the same answer; kept for 24 hours.",
        max_length=128,
    ),
]


async def once(
    request: Request,
    actor: Actor,
    key: str | None,
    act: Callable[[], Awaitable[Response]],
    *,
    holds_secret: bool = False,
) -> Response:
    """Run `act` unless this very request was done before. Raises Conflict as told above."""
    if key is None:
        return await act()
    if not _KEY.fullmatch(key):
        raise HttpError(400, "Idempotency-Key: use 1 to 128 printable ASCII characters")
    core = core_of(request)
    digest = _digest(request, raw_body(request))
    kept = await _claim(core, actor, key, digest)
    if kept is not None:
        return _replay(kept, digest)
    try:
        response = await act()
    except (AlcoveError, HttpError) as error:
        await _settle_error(core, actor, key, error)
        raise
    except BaseException:
        with anyio.CancelScope(shield=True):
            await _release(core, actor, key)
        raise
    stored = "" if holds_secret else bytes(response.body).decode()
    await _finish(core, actor, key, response.status_code, stored)
    return response


def _digest(request: Request, body: bytes) -> str:
    said = json.dumps([request.method, request.url.path, str(request.url.query)])
    return hashlib.sha256(said.encode() + b"\0" + body).hexdigest()


def _replay(kept: idempotency.Kept, digest: str) -> Response:
    if kept.request_sha256 != digest:
        raise Conflict("Idempotency-Key: another request was sent with this key; use a new one")
    if kept.status is None:
        raise Conflict("Idempotency-Key: the first request with this key is still under way")
    if not kept.answer and kept.status != 204:
        raise Conflict(
            "Idempotency-Key: this was done already, and its answer held a secret that is "
            "shown once; use a new key to make another"
        )
    kind = MEDIA_TYPE if kept.status >= 400 else Json.media_type
    headers = {"idempotency-replayed": "true"}
    return Response(kept.answer, kept.status, headers=headers, media_type=kind)


async def _claim(core: Core, actor: Actor, key: str, digest: str) -> idempotency.Kept | None:
    now = core.clock()
    async with core.db.transaction() as tx:
        return await idempotency.claim(
            tx,
            user=actor.id,
            key=key,
            request_sha256=digest,
            now=now,
            kept_since=now - KEYS_KEPT,
            abandoned_before=now - ABANDONED,
        )


async def _settle_error(core: Core, actor: Actor, key: str, error: Exception) -> None:
    """A refusal is an answer like any other; a failure of ours is not."""
    problem, _ = describe(error, request_id="")
    if problem.status >= 500 or isinstance(error, TooMany):
        await _release(core, actor, key)
    else:
        await _finish(core, actor, key, problem.status, problem.model_dump_json(exclude_none=True))


async def _finish(core: Core, actor: Actor, key: str, status: int, answer: str) -> None:
    async with core.db.transaction() as tx:
        await idempotency.finish(tx, user=actor.id, key=key, status=status, answer=answer)


async def _release(core: Core, actor: Actor, key: str) -> None:
    async with core.db.transaction() as tx:
        await idempotency.release(tx, user=actor.id, key=key)
