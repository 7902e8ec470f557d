"""An SSH connection as the list of live sessions shows it."""

from collections.abc import Callable
from typing import Final

from alcove.gateway.auth import Login
from alcove.gateway.caller import Caller
from alcove.model.live_session import LiveKind, LiveSession

CLIENT_SHOWN: Final = 128


def looker(caller: Caller, login: Login) -> Callable[[], LiveSession]:
    """What says how the connection is by now."""
    began_at = caller.core.clock()
    version: object = caller.connection.get_extra_info("client_version") or ""
    client = "".join(c for c in str(version)[:CLIENT_SHOWN] if c.isprintable())

    def look() -> LiveSession:
        workspace = caller.workspace
        return LiveSession(
            id=caller.session,
            kind=LiveKind.SSH,
            server=caller.core.live.server,
            workspace=workspace.id,
            workspace_name=workspace.name,
            owner=workspace.owner,
            user=caller.actor.id,
            address=caller.actor.address,
            began_at=began_at,
            detail={"method": login.method, "client": client, "channels": _channels(caller)},
        )

    return look


def _channels(caller: Caller) -> dict[str, int]:
    """Kind to how many are open, of those that there are."""
    found = {**caller.channels, "forward": caller.forwards, "listen": caller.listeners}
    return {kind: many for kind, many in found.items() if many}
