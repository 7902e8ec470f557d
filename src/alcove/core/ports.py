"""What listens inside a workspace: who may open it, and the way to it.

Rule: `open` connects and asks nobody; whoever calls it has asked `may_open`, or has a reason of
its own that is as good (a signed link, another protocol's secret).
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode

import anyio

from alcove.config import Settings
from alcove.core import access, identity
from alcove.core.agent import CONNECT_TIMEOUT_S, Reach, refusal
from alcove.core.app import Core
from alcove.core.seals import seal, unseal
from alcove.drivers.base import ByteStream
from alcove.model.access import Actor, Permission, allows
from alcove.model.errors import (
    FieldError,
    Invalid,
    NotFound,
    NotListening,
    QuotaExceeded,
    Unavailable,
)
from alcove.model.event import EventKind, NewEvent
from alcove.model.port import (
    LEVELS,
    PORT_MAX,
    Level,
    Share,
    level_of,
    narrower,
    opens,
    said_of,
)
from alcove.model.units import format_duration, parse_duration
from alcove.model.workspace import Desired, UserId, Workspace, WorkspaceId
from alcove.store import events, users, workspaces
from alcove.store import shares as store

LISTENING_MAX: Final = 256
SHARES_MAX: Final = 64
"""Of one workspace."""
LINK_MAX_S: Final = 30 * 24 * 3600
"""Of all servers'; the operator's `link_ttl_max` may be less."""
PREFIX_MAX: Final = 512
REFUSED_MAX: Final = 64 * 1024
ANONYMOUS: Final = "anonymous"
"""The actor of events about a port that somebody unknown opened."""
_LINK: Final = "port-link"


@dataclass(frozen=True, slots=True)
class Listening:
    port: int
    address: str
    process: str | None


@dataclass(frozen=True, slots=True)
class Link:
    """What a signed link says. It is good for this port, below this path, until then, and as
    long as its maker may share the workspace."""

    token: str
    workspace: WorkspaceId
    port: int
    path_prefix: str
    expires: int
    """Seconds since 1970."""
    maker: UserId


async def listening(core: Core, workspace: Workspace) -> Sequence[Listening]:
    """What listens now, by port. Raises Conflict unless it is running."""
    stats = await core.agents.stats(Reach.of(workspace))
    found: dict[int, Listening] = {}
    try:
        said: list[Any] = list(stats.get("listening_ports") or [])[:LISTENING_MAX]
        for one in said:
            port = int(one["port"])
            process = str(one["command"])[:256] if one.get("command") else None
            found.setdefault(port, Listening(port, str(one.get("address", ""))[:64], process))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Unavailable("the agent's list of ports cannot be read") from error
    return [found[port] for port in sorted(found)]


def levels(core: Core, workspace: Workspace) -> Sequence[Level]:
    """What `share` takes, from narrow to wide."""
    most = narrower(workspace.spec.share_max, Level(core.settings.share_level_max))
    return LEVELS[: LEVELS.index(most) + 1]


def too_wide(core: Core, share_max: Level, wanted: Level) -> str | None:
    """What is wrong with sharing so widely where the template allows `share_max`, if anything."""
    operator = Level(core.settings.share_level_max)
    most = narrower(share_max, operator)
    if narrower(wanted, most) is wanted:
        return None
    whose = "this server" if most is operator else "the template"
    return f"{wanted} is wider than {most}, the widest that {whose} allows"


def level_now(core: Core, workspace: Workspace, port: int, held: Share | None) -> Level:
    """Who may open the port. `held`: what its owner said, and what still holds."""
    return level_of(workspace, port, held, operator=Level(core.settings.share_level_max))


def link_life_max_s(settings: Settings) -> int:
    """The longest life of a link; 0 where there are none."""
    most = parse_duration(settings.link_ttl_max) if settings.link_ttl_max else 0
    return min(most, LINK_MAX_S)


async def share(
    core: Core, actor: Actor, ref: str, port: int, *, level: Level, ttl_s: int | None = None
) -> Share | None:
    """Let others open the port, instead of whom may now. None: it is private (again), and
    nothing had to be kept for that. Raises Invalid for a level over the bound."""
    workspace = await access.workspace(core, actor, ref, Permission.WORKSPACE_UPDATE)
    _check(port)
    if (fault := too_wide(core, workspace.spec.share_max, level)) is not None:
        raise _invalid("level", fault)
    if level is Level.PRIVATE and said_of(workspace, port, None) is Level.PRIVATE:
        await unshare(core, actor, workspace.id, port)
        return None
    now = core.clock()
    made = Share(
        workspace=workspace.id,
        port=port,
        level=level,
        expires_at=None if ttl_s is None else now + timedelta(seconds=ttl_s),
        created_at=now,
        created_by=actor.id,
    )
    detail: dict[str, object] = {"name": workspace.name, "port": port, "level": str(level)}
    if made.expires_at is not None:
        detail["expires_at"] = made.expires_at.isoformat()
    async with core.db.transaction() as tx:
        if await store.number(tx, workspace.id) >= SHARES_MAX:
            raise QuotaExceeded(f"a workspace shares at most {SHARES_MAX} ports; unshare one")
        await store.put(tx, made)
        await events.append(tx, now, _told(actor, EventKind.PORT_SHARED, workspace, detail))
    return made


async def unshare(core: Core, actor: Actor, ref: str, port: int) -> None:
    """Make the port private again; repeating it is fine. Open connections end soon. A port that
    the template shares is kept as private."""
    workspace = await access.workspace(core, actor, ref, Permission.WORKSPACE_UPDATE)
    _check(port)
    if said_of(workspace, port, None) is not Level.PRIVATE:
        await share(core, actor, workspace.id, port, level=Level.PRIVATE)
        return
    detail: dict[str, object] = {"name": workspace.name, "port": port}
    async with core.db.transaction() as tx:
        if await store.remove(tx, workspace.id, port):
            told = _told(actor, EventKind.PORT_UNSHARED, workspace, detail)
            await events.append(tx, core.clock(), told)


async def shared(core: Core, workspace: Workspace) -> Sequence[Share]:
    """What of it is shared now, by port."""
    async with core.db.read() as tx:
        return await store.of(tx, workspace.id, now=core.clock())


async def may_open(core: Core, actor: Actor | None, workspace: Workspace, port: int) -> bool:
    """Whether the actor (None: nobody we know) may open this port now."""
    if opens(actor, Level.PRIVATE, owner=workspace.owner, workspace=workspace.id):
        return True
    async with core.db.read() as tx:
        found = await store.get(tx, workspace.id, port)
    held = found if found is not None and found.holds(core.clock()) else None
    level = level_now(core, workspace, port, held)
    return opens(actor, level, owner=workspace.owner, workspace=workspace.id)


@asynccontextmanager
async def open(
    core: Core, workspace: Workspace, port: int, *, host: str | None = None
) -> AsyncGenerator[ByteStream]:
    """A fresh connection to what listens on that port inside: at `host`, a loopback address, or
    wherever on the loopback it is.

    Raises NotListening, Conflict unless the workspace is running, TooMany when very many are
    open, and Unavailable when its agent cannot be reached.
    """
    _check(port)
    query = {"port": port} if host is None else {"port": port, "host": host}

    def nobody(status: int, said: bytes) -> Exception:
        return _no_way(workspace, port, status, said)

    async with through(core, workspace, query, what=f"port {port}", refused=nobody) as stream:
        yield stream


@asynccontextmanager
async def through(
    core: Core,
    workspace: Workspace,
    query: Mapping[str, str | int],
    *,
    what: str,
    refused: Callable[[int, bytes], Exception] = refusal,
) -> AsyncGenerator[ByteStream]:
    """Raw bytes to what the query says to the agent, one of the few that a workspace has.

    `refused` makes an error of the agent's status and body. Raises what `open` does.
    """
    reach = Reach.of(workspace)
    upgrade = [("Connection", "Upgrade"), ("Upgrade", "alcove-stream")]
    target = f"/alcove/stream?{urlencode(query)}"
    with core.doors.through(workspace.id):
        async with AsyncExitStack() as stack:
            try:
                with anyio.fail_after(CONNECT_TIMEOUT_S):
                    response = await stack.enter_async_context(
                        core.agents.request(reach, "POST", target, upgrade, b"", refusals=False)
                    )
                    if response.status != 101:
                        raise refused(response.status, await response.read(limit=REFUSED_MAX))
            except TimeoutError as error:
                raise Unavailable(f"{what} did not answer in time") from error
            core.journal.used(workspace.id, core.clock())
            yield response.connection.upgraded()


async def opened(
    core: Core, actor: Actor | None, workspace: Workspace, port: int, *, address: str, by: str
) -> None:
    """Tell of a port that was opened: once an hour for each caller and port, not per request.
    `by`: how they got in."""
    who = ANONYMOUS if actor is None else actor.id
    if not core.doors.is_news(f"{who} {by}", workspace.id, port, now=core.clock()):
        return
    detail: dict[str, object] = {"name": workspace.name, "port": port, "by": by}
    await core.journal.record(
        NewEvent(
            EventKind.PORT_OPENED,
            actor=who,
            subject=workspace.id,
            owner=workspace.owner,
            detail=detail,
            address=address,
            request_id="" if actor is None else actor.request_id,
            at=core.clock(),
        )
    )


async def sign(
    core: Core,
    actor: Actor,
    workspace: Workspace,
    port: int,
    *,
    ttl_s: int,
    path_prefix: str = "/",
) -> Link:
    """A link that lets its bearer open the port. Told as `port.shared` with level `link`.

    Raises Denied, and Invalid for a lifetime or prefix that cannot be."""
    access.checked(actor, workspace, workspace.id, Permission.WORKSPACE_UPDATE)
    _check(port)
    most = link_life_max_s(core.settings)
    if not most:
        raise _invalid("ttl", "this server makes no links to ports")
    if not 1 <= ttl_s <= most:
        raise _invalid("ttl", f"must be between 1s and {format_duration(most)}")
    if not path_prefix.startswith("/") or len(path_prefix) > PREFIX_MAX:
        raise _invalid("path", f"begins with / and has at most {PREFIX_MAX} characters")
    now = core.clock()
    expires = int(now.timestamp()) + ttl_s
    token = seal(core.secret, _LINK, [workspace.id, port, expires, path_prefix, actor.id])
    detail: dict[str, object] = {
        "name": workspace.name,
        "port": port,
        "level": "link",
        "expires_at": (now + timedelta(seconds=ttl_s)).isoformat(),
    }
    if path_prefix != "/":
        detail["path"] = path_prefix
    await identity.record(core, _told(actor, EventKind.PORT_SHARED, workspace, detail))
    return Link(token, workspace.id, port, path_prefix, expires, actor.id)


async def check(core: Core, token: str) -> tuple[Link, Workspace]:
    """What the link opens. Raises NotFound for one that is none, or is not good any more."""
    said = unseal(core.secret, _LINK, token)
    gone = NotFound("this link is none of ours, or it is not good any more")
    if said is None:
        raise gone
    id, port, expires, prefix, maker = said
    if core.clock().timestamp() >= expires or not link_life_max_s(core.settings):
        raise gone
    async with core.db.read() as tx:
        workspace = await workspaces.get(tx, WorkspaceId(id))
        user = await users.get(tx, UserId(maker))
    if workspace is None or workspace.desired is Desired.DELETED or user is None or user.disabled:
        raise gone
    as_now = Actor(id=user.id, name=user.name, role=user.role, service=user.service)
    may = allows(
        as_now, Permission.WORKSPACE_UPDATE, owner=workspace.owner, workspace=workspace.id
    )
    if not may:
        raise gone
    return Link(token, workspace.id, port, prefix, expires, user.id), workspace


def _check(port: int) -> None:
    if not 1 <= port <= PORT_MAX:
        raise _invalid("port", f"must be between 1 and {PORT_MAX}")


def _invalid(field: str, said: str) -> Invalid:
    return Invalid(f"{field}: {said}", [FieldError(field, said)])


def _no_way(workspace: Workspace, port: int, status: int, said: bytes) -> Exception:
    if status == 502:
        return NotListening(
            f"nothing listens on port {port} of workspace {workspace.name}; "
            "start the app there, on 127.0.0.1 or 0.0.0.0"
        )
    return refusal(status, said)


def _told(
    actor: Actor, kind: EventKind, workspace: Workspace, detail: dict[str, object]
) -> NewEvent:
    return identity.event(actor, kind, subject=workspace.id, owner=workspace.owner, detail=detail)
