"""A workspace's ports as clients see them: what listens and what is shared, in one list."""

from alcove.core import ports
from alcove.core.app import Core
from alcove.http.addresses import app_url
from alcove.model.port import Share
from alcove.model.workspace import Phase, Workspace
from alcove.wire.ports import Port


async def ports_of(core: Core, workspace: Workspace, *, owner: str) -> list[Port]:
    """Of one that does not run: those that are shared."""
    running = workspace.phase is Phase.RUNNING and workspace.handle is not None
    now = await ports.listening(core, workspace) if running else ()
    listening = {one.port: one for one in now}
    shared = {share.port: share for share in await ports.shared(core, workspace)}
    found: list[Port] = []
    for port in sorted({*listening, *shared}):
        there, share = listening.get(port), shared.get(port)
        found.append(
            Port(
                port=port,
                address="" if there is None else there.address,
                process=None if there is None else there.process,
                listening=there is not None,
                level=ports.level_now(core, workspace, port, share),
                expires_at=None if share is None else share.expires_at,
                url=app_url(core.settings, workspace, port, owner=owner),
            )
        )
    return found


def shown(core: Core, workspace: Workspace, port: int, share: Share | None, *, owner: str) -> Port:
    """A port whose sharing was changed; whether it listens is not looked at."""
    return Port(
        port=port,
        address="",
        listening=False,
        level=ports.level_now(core, workspace, port, share),
        expires_at=None if share is None else share.expires_at,
        url=app_url(core.settings, workspace, port, owner=owner),
    )
