"""Whether who is connected may still be: for everything that lasts longer than a request."""

from typing import Final

import anyio

from alcove.core import identity
from alcove.core.app import Core
from alcove.core.gate import CACHE_S, REVOKED_WITHIN_S
from alcove.model.access import Actor
from alcove.model.errors import Unavailable

RECHECK_S: Final = 0.2
assert RECHECK_S + CACHE_S <= REVOKED_WITHIN_S


async def still_allowed(core: Core, actor: Actor) -> None:
    """Returns never. Raises Unauthenticated once the caller's credential is no longer good, and
    Unavailable when the server is about to end; a database that is away is no reason."""
    while True:
        await anyio.sleep(RECHECK_S)
        if core.gate.closing:
            raise Unavailable("the server is being restarted; connect again")
        try:
            await identity.recheck(core, actor)
        except Unavailable:
            continue
