"""How a browser that is signed in gets into a private app on another host.

The app's host sends it to ours with a nonce that it keeps in a cookie; ours, which knows the
session, sends it back with a ticket: for this host, this nonce, half a minute and one use. The
host then sets a cookie of its own, which is good for this port alone and only as long as the
session is. The app sees neither ticket nor cookies.
"""

import hashlib
import secrets
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, unquote, urlencode, urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import Scope

from alcove.core import identity, ports
from alcove.core.app import Core
from alcove.core.ports import Link
from alcove.core.seals import seal, unseal
from alcove.http.access import cookie_name
from alcove.http.context import context_of
from alcove.http.problem import HttpError
from alcove.http.relay_headers import APP_COOKIE, HANDSHAKE_COOKIE
from alcove.model.access import Actor, Role
from alcove.model.errors import NotFound, Unauthenticated
from alcove.model.port import read_app_label
from alcove.model.workspace import UserId, Workspace, WorkspaceId
from alcove.store import workspaces

ENTER: Final = "/apps/-/enter"
"""On our own origin."""
ARRIVE: Final = "/-/alcove/enter"
"""On the app's host."""
HANDSHAKE_S: Final = 300
TICKET_S: Final = 30
PASS_S: Final = 12 * 3600
PATH_MAX: Final = 1024
PASSES_MAX: Final = 8
_TICKET: Final = "app-ticket"
_PASS: Final = "app-pass"
_LINKED: Final = "link."


def begin(core: Core, scope: Scope, label: str, path: str) -> Response:
    """Send a browser whom we do not know to our own origin."""
    nonce = secrets.token_urlsafe(24)
    back = path if len(path) <= PATH_MAX else "/"
    query = urlencode({"to": label, "state": _hash(nonce)})
    answer = RedirectResponse(f"{core.settings.url}{ENTER}?{query}", 303)
    _set(answer, scope, HANDSHAKE_COOKIE, f"{nonce}.{quote(back, safe='')}", HANDSHAKE_S)
    return _never_kept(answer)


async def enter(core: Core, connection: HTTPConnection) -> Response:
    """On our own origin: a ticket for whoever is signed in and may open the app.

    The same answer, whether it is not there or not theirs. Raises NotFound and HttpError."""
    if connection.scope["type"] != "http" or connection.scope["method"] != "GET":
        raise HttpError(405, "look at this address in a browser", {"allow": "GET"})
    label, state = connection.query_params.get("to", ""), connection.query_params.get("state", "")
    name = read_app_label(label)
    if name is None or len(state) != len(_hash("")):
        raise NotFound("there is no app under this name")
    secure = context_of(connection.scope).secure
    try:
        actor = await identity.authenticate_session(
            core, connection.cookies.get(cookie_name(secure=secure), "")
        )
    except Unauthenticated:
        here = f"{ENTER}?{urlencode({'to': label, 'state': state})}"
        return _never_kept(RedirectResponse(f"/sign-in?next={quote(here, safe='')}", 303))
    workspace = await _named(core, name.ref)
    port = None if workspace is None else name.port(workspace)
    if workspace is None or port is None or not await ports.may_open(core, actor, workspace, port):
        raise NotFound("there is no such app, or it is not yours to see")
    until = int(core.clock().timestamp()) + TICKET_S
    claims = [label, state, actor.credential, actor.id, until, secrets.token_urlsafe(12)]
    ticket = seal(core.secret, _TICKET, claims)
    scheme = urlsplit(core.settings.url).scheme
    there = f"{scheme}://{label}.{core.settings.apps_host}{ARRIVE}?ticket={ticket}"
    return _never_kept(RedirectResponse(there, 303))


async def arrive(core: Core, scope: Scope, label: str) -> Response:
    """On the app's host: the ticket becomes a cookie. Raises HttpError(400) for one that is
    another host's or browser's, used, or too old."""
    refused = HttpError(400, "this way in is used up or not for this browser; open the app again")
    connection = HTTPConnection(scope)
    claims = unseal(core.secret, _TICKET, connection.query_params.get("ticket", ""))
    cookie = _cookies(scope, HANDSHAKE_COOKIE)
    name = read_app_label(label)
    if claims is None or name is None or scope["type"] != "http":
        raise refused
    to, state, credential, user, until, _ = claims
    now = core.clock()
    kept = next((c for c in cookie if _hash(c.partition(".")[0]) == state), None)
    if to != label or kept is None or now.timestamp() >= until:
        raise refused
    spent_until = datetime.fromtimestamp(until, UTC)
    if not core.doors.spend(connection.query_params["ticket"], until=spent_until, now=now):
        raise refused
    workspace = await _named(core, name.ref)
    port = None if workspace is None else name.port(workspace)
    if workspace is None or port is None:
        raise NotFound("there is no such app, or it is not yours to see")
    ends = int(now.timestamp()) + PASS_S
    value = seal(core.secret, _PASS, [workspace.id, port, credential, user, ends])
    answer = RedirectResponse(_local(kept.partition(".")[2]), 303)
    _set(answer, scope, APP_COOKIE, value, PASS_S)
    _set(answer, scope, HANDSHAKE_COOKIE, "", 0)
    return _never_kept(answer)


async def passed(
    core: Core, scope: Scope, workspace: Workspace | None, port: int
) -> Actor | Link | None:
    """Whom the browser's cookie for this app is of, or the link that it holds; None without.
    Another host may have put a cookie of this name beside ours, so each is tried."""
    if workspace is None:
        return None
    for value in _cookies(scope, APP_COOKIE)[:PASSES_MAX]:
        if value.startswith(_LINKED):
            try:
                link, found = await ports.check(core, value.removeprefix(_LINKED))
            except NotFound:
                continue
            if (found.id, link.port) == (workspace.id, port):
                return link
            continue
        claims = unseal(core.secret, _PASS, value)
        if claims is None or claims[:2] != [workspace.id, port]:
            continue
        _, _, credential, user, ends = claims
        if core.clock().timestamp() >= ends:
            continue
        holder = Actor(id=UserId(user), name="", role=Role.MEMBER, credential=credential)
        try:
            return await identity.recheck(core, holder)
        except Unauthenticated:
            continue
    return None


def with_link(core: Core, scope: Scope, link: Link, path: str) -> Response:
    """Keep the link in a cookie of the app's host, and its token out of the address bar."""
    left = max(1, link.expires - int(core.clock().timestamp()))
    answer = RedirectResponse(path if _is_local(path) else "/", 303)
    _set(answer, scope, APP_COOKIE, f"{_LINKED}{link.token}", left)
    return _never_kept(answer)


async def _named(core: Core, ref: str) -> Workspace | None:
    owner, slash, own_name = ref.rpartition("/")
    async with core.db.read() as tx:
        if slash:
            return await workspaces.by_owner_name(tx, owner_name=owner, name=own_name)
        return await workspaces.get(tx, WorkspaceId(ref))


def _hash(nonce: str) -> str:
    return hashlib.sha256(nonce.encode()).hexdigest()


def _local(path: str) -> str:
    path = unquote(path)
    return path if _is_local(path) else "/"


def _is_local(path: str) -> bool:
    return path.startswith("/") and path[1:2] not in {"/", "\\"} and path.isprintable()


def _cookies(scope: Scope, name: str) -> list[str]:
    """All values under the name that this connection's kind of cookie has."""
    wanted = _name(scope, name)
    found: list[str] = []
    for header, value in scope["headers"]:
        if header.lower() == b"cookie":
            for pair in value.decode("latin-1").split(";"):
                key, _, text = pair.partition("=")
                if key.strip() == wanted:
                    found.append(text.strip())
    return found


def _set(answer: Response, scope: Scope, name: str, value: str, age_s: int) -> None:
    answer.set_cookie(
        _name(scope, name),
        value,
        max_age=age_s,
        path="/",
        httponly=True,
        samesite="lax",
        secure=context_of(scope).secure,
    )


def _name(scope: Scope, name: str) -> str:
    return f"__Host-{name}" if context_of(scope).secure else name


def _never_kept(answer: Response) -> Response:
    answer.headers["cache-control"] = "no-store"
    answer.headers["referrer-policy"] = "no-referrer"
    return answer
