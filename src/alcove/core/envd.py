"""Who may speak the envd protocol to a workspace, and which of its routes are open to them.

Clients of that protocol hold one secret for each workspace. It is derived from the server's own
secret and the workspace's id, so that it is checked without a look at the database: who does not
have it learns nothing, not even whether there is such a workspace. It lasts as long as the
workspace: clients go on with it after a pause.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from alcove.core.access import WORKSPACE_ID
from alcove.core.app import Core
from alcove.core.exec_outputs import Keeping, Ran, detail_of, made
from alcove.core.intents import event
from alcove.model.access import Actor, Permission
from alcove.model.errors import NotFound
from alcove.model.event import EventKind
from alcove.model.workspace import Desired, Phase, Workspace, WorkspaceId
from alcove.store import users, workspaces
from alcove.store.workspaces import Position, WorkspaceFilters

VERSION: Final = "0.6.7"
"""Of the protocol; what the agent speaks."""
SIGNED_MAX: Final = 8192
"""Characters of a signed path."""
_PREFIX: Final = "ws-"
SIGNERS_MAX: Final = 2000
_BATCH: Final = 500
assert SIGNERS_MAX % _BATCH == 0
GRANTS: Final = frozenset(
    {Permission.WORKSPACE_READ, Permission.WORKSPACE_EXEC, Permission.WORKSPACE_FILES}
)
"""What holding the secret of a workspace allows, and what one must be allowed to be given it."""
_PROCESS: Final = (
    "List",
    "Start",
    "Connect",
    "Update",
    "StreamInput",
    "SendInput",
    "SendSignal",
    "CloseStdin",
)
_FILESYSTEM: Final = (
    "Stat",
    "MakeDir",
    "Move",
    "ListDir",
    "Remove",
    "WatchDir",
    "CreateWatcher",
    "GetWatcherEvents",
    "RemoveWatcher",
)


class Route(StrEnum):
    """How a route of the agent's is relayed."""

    UNARY = "unary"
    STREAM = "stream"
    """One message in, many out."""
    UPLOAD = "upload"
    """A body of any length in."""
    READ = "read"
    HEALTH = "health"


_ROUTES: Final = {
    **{("POST", f"/process.Process/{name}"): Route.UNARY for name in _PROCESS},
    **{("POST", f"/filesystem.Filesystem/{name}"): Route.UNARY for name in _FILESYSTEM},
    ("POST", "/process.Process/Start"): Route.STREAM,
    ("POST", "/process.Process/Connect"): Route.STREAM,
    ("POST", "/filesystem.Filesystem/WatchDir"): Route.STREAM,
    ("POST", "/process.Process/StreamInput"): Route.UPLOAD,
    ("POST", "/files"): Route.UPLOAD,
    ("POST", "/files/compose"): Route.UNARY,
    ("GET", "/files"): Route.READ,
    ("GET", "/health"): Route.HEALTH,
}


def route(method: str, path: str) -> Route | None:
    """How this is relayed; None for all that is not for clients, whatever the agent has there."""
    return _ROUTES.get((method, path))


def token(core: Core, workspace: str) -> str:
    """The secret of clients of the envd protocol of this workspace.

    It begins with the id, since some of them send nothing else to say whom they mean.
    """
    return f"{workspace.removeprefix(_PREFIX)}_{_derived(core, 'envd', workspace)}"


def named_by(given: str | None) -> str:
    """The id of the workspace whose secret this would be, good or not; empty for none."""
    id, _, _ = (given or "").partition("_")
    return f"{_PREFIX}{id}" if WORKSPACE_ID.fullmatch(f"{_PREFIX}{id}") else ""


def traffic_token(core: Core, workspace: str) -> str:
    """The secret that opens a private workspace's ports, and nothing else of it."""
    return _derived(core, "traffic", workspace)


def is_token(core: Core, workspace: str, given: str | None) -> bool:
    """Whether this is the secret of a workspace of this id, be there one or not."""
    return _same(given, token(core, workspace))


def is_traffic_token(core: Core, workspace: str, given: str | None) -> bool:
    return _same(given, traffic_token(core, workspace))


@dataclass(frozen=True, slots=True)
class Signature:
    """What the query of a signed URL says. `expires`: seconds since 1970, as it was written."""

    path: str
    operation: str
    """read or write"""
    username: str
    signature: str
    expires: str | None

    def holds(self, core: Core, workspace: str) -> bool:
        """Whether the holder of this workspace's secret signed exactly this."""
        # The signed text joins its parts with colons. Without colons in the name it can be
        # taken apart in one way only.
        if not self.path or ":" in self.username or len(self.path) > SIGNED_MAX:
            return False
        parts = [self.path, self.operation, self.username, token(core, workspace)]
        if self.expires is not None:
            if not self.expires.isascii() or not self.expires.isdecimal():
                return False
            if len(self.expires) > 15 or int(self.expires) <= core.clock().timestamp():
                return False
            parts.append(self.expires)
        digest = hashlib.sha256(":".join(parts).encode(errors="surrogatepass")).digest()
        return _same(self.signature, "v1_" + base64.b64encode(digest).decode().rstrip("="))


@dataclass(frozen=True, slots=True)
class Entry:
    """A workspace whose secret somebody has shown, and the actor that makes of them."""

    workspace: Workspace
    actor: Actor


async def enter(core: Core, id: str, *, address: str, request_id: str) -> Entry:
    """The workspace, for one who has shown its secret. Raises NotFound when it is not there (any
    more), is not to run, or its owner may not sign in."""
    if not WORKSPACE_ID.fullmatch(id):
        raise NotFound(f"there is no sandbox {id[:64]!r}")
    async with core.db.read() as tx:
        found = await workspaces.get(tx, WorkspaceId(id))
        owner = None if found is None else await users.get(tx, found.owner)
    if found is None or owner is None or owner.disabled or not _there(found):
        raise NotFound(f"there is no sandbox {id!r}")
    actor = Actor(
        id=owner.id,
        name=owner.name,
        role=owner.role,
        service=owner.service,
        # Only while it is used does it end its pause, which counts as use and not as a change.
        scopes=GRANTS | {Permission.WORKSPACE_UPDATE},
        workspace=found.id,
        credential="envd",
        address=address,
        request_id=request_id,
    )
    return Entry(found, actor)


async def signer(core: Core, signature: Signature) -> str | None:
    """The live workspace whose secret made this signature, among the newest `SIGNERS_MAX`."""
    after: Position | None = None
    filters = WorkspaceFilters(phases=(Phase.RUNNING, Phase.PAUSED))
    for _ in range(SIGNERS_MAX // _BATCH):
        async with core.db.read() as tx:
            found = await workspaces.find(tx, filters, after=after, limit=_BATCH)
        for workspace in found:
            if signature.holds(core, workspace.id):
                return workspace.id
        if len(found) < _BATCH:
            break
        after = Position(found[-1].created_at, found[-1].id)
    return None


async def tell(core: Core, entry: Entry, kind: EventKind, **detail: object) -> None:
    """Note that it is used, and write down for what."""
    workspace, actor = entry.workspace, entry.actor
    core.journal.used(workspace.id, core.clock())
    told = event(kind, actor, workspace, {"by": "envd", **detail}, at=core.clock())
    await core.journal.record(told)


async def tell_of_end(core: Core, entry: Entry, ran: Ran, kept: Keeping | None) -> None:
    """Write down how a command ended, and what is kept of its output."""
    workspace, actor = entry.workspace, entry.actor
    output = None if kept is None else made(core, actor, workspace, ran, kept)
    said: dict[str, object] = {"by": "envd", "command": list(ran.command)}
    if ran.exit_code is None:
        said["ended"] = "the caller went away"
    else:
        said["exit_code"] = ran.exit_code
    said |= {"duration_ms": round(ran.duration_ms, 1), **detail_of(output)}
    told = event(EventKind.EXEC_FINISHED, actor, workspace, said, at=ran.at)
    await core.journal.record(told, output)
    core.journal.used(workspace.id, ran.at)


def _there(workspace: Workspace) -> bool:
    wanted = workspace.desired in (Desired.RUNNING, Desired.PAUSED)
    return wanted and workspace.phase not in (Phase.DELETED, Phase.DELETING, Phase.FAILED)


def _derived(core: Core, what: str, workspace: str) -> str:
    said = f"{what}:{workspace}".encode(errors="surrogatepass")
    return hmac.new(core.secret, said, hashlib.sha256).hexdigest()


def _same(given: str | None, secret: str) -> bool:
    # Digests of both, since a comparison in constant time tells lengths.
    one = hashlib.sha256((given or "").encode(errors="surrogatepass")).digest()
    return hmac.compare_digest(one, hashlib.sha256(secret.encode()).digest())
