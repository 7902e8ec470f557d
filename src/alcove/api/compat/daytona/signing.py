"""Who asks for a file: by token, or by the signature of exactly this."""

from starlette.requests import Request

from alcove.core import file_links
from alcove.core.app import Core
from alcove.http.access import caller as by_token
from alcove.http.context import context_of
from alcove.model.access import Actor


async def caller(request: Request, core: Core, ref: str, *, method: str, path: str) -> Actor:
    """Raises Unauthenticated, and NotFound behind a good signature."""
    given = request.query_params.get("signature")
    if given is None:
        return await by_token(request)
    expires = request.query_params.get("expires", "")
    file_links.check(core, ref, given, method=method, path=path, expires=expires)
    context = context_of(request.scope)
    return await file_links.enter(
        core, ref, address=context.address, request_id=context.request_id
    )
