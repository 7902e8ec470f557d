"""Live sessions without a connection, for claims about who may do what to them."""

import secrets

from alcove.model.access import Actor
from alcove.model.live_session import LiveKind, LiveSession
from alcove.model.workspace import Workspace
from tests.api.served import Served


def live(
    api: Served,
    actor: Actor,
    workspace: Workspace,
    kind: LiveKind = LiveKind.SSH,
    **detail: object,
) -> LiveSession:
    """One of this user's, that is gone as soon as it is ended."""
    core = api.core
    session = LiveSession(
        id=f"{kind}-{secrets.token_hex(8)}",
        kind=kind,
        server=core.live.server,
        workspace=workspace.id,
        workspace_name=workspace.name,
        owner=workspace.owner,
        user=actor.id,
        address="192.0.2.7",
        began_at=core.clock(),
        detail=detail,
    )
    core.live.add(lambda: session, lambda _: core.live.remove(session.id))
    return session
