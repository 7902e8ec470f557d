"""One's own account: browsers that are signed in, password, tokens, SSH keys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from fastapi import Path
from pydantic import SecretStr, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from alcove.core import people, ssh_keys, tokens, users, workspaces
from alcove.core.app import Core
from alcove.core.pages import PageRequest
from alcove.core.tokens import TokenDraft
from alcove.http.access import needs, needs_sign_in
from alcove.http.body import read_form
from alcove.http.problem import faults_of
from alcove.model.access import OWN, Actor, Permission
from alcove.model.errors import AlcoveError, FieldError, Invalid
from alcove.model.identity import Token, User
from alcove.model.ssh import SshKey
from alcove.store.people import OpenSession
from alcove.store.workspaces import WorkspaceFilters
from alcove.web.contexts import Command, Frame, Link, Tab
from alcove.web.frame import frame_of
from alcove.web.live_sessions import Connections, Place, connections
from alcove.web.pages import CoreOf, render, router, see
from alcove.wire.ssh import NewSshKey
from alcove.wire.tokens import NewToken
from alcove.wire.users import PASSWORD_MIN, PasswordChange

routes = router()
Me = Annotated[Actor, needs_sign_in()]
TokenOwner = Annotated[Actor, needs(Permission.TOKEN_MANAGE)]
Id = Annotated[str, Path(max_length=64)]
TOKENS_SHOWN: Final = 200
WORKSPACES_OFFERED: Final = 200
LIVES: Final[Mapping[str, str]] = {
    "1h": "an hour",
    "1d": "a day",
    "7d": "a week",
    "30d": "30 days",
    "90d": "90 days",
    "365d": "a year",
}
_NO_ERRORS: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class AccountPage:
    frame: Frame
    now: datetime
    tabs: Sequence[Tab]
    user: User
    has_password: bool
    sessions: Sequence[OpenSession]
    here: str
    """Id of the session that this page was asked for with."""
    errors: Mapping[str, str]
    done: str
    length_min: int
    live: Connections
    commands: Sequence[Command]


@dataclass(frozen=True, slots=True)
class TokensPage:
    frame: Frame
    now: datetime
    tabs: Sequence[Tab]
    tokens: Sequence[Token]
    workspaces: Mapping[str, str]
    """Id to name: of the tokens' and those that one may bind a token to."""
    scopes: Sequence[str]
    lives: Mapping[str, str]
    values: Mapping[str, str]
    errors: Mapping[str, str]
    other: str
    made: Token | None
    secret: str
    """Shown this once."""
    commands: Sequence[Command]


@dataclass(frozen=True, slots=True)
class KeysPage:
    frame: Frame
    now: datetime
    tabs: Sequence[Tab]
    keys: Sequence[SshKey]
    values: Mapping[str, str]
    errors: Mapping[str, str]
    other: str
    commands: Sequence[Command]


@routes.get("/account")
async def account(request: Request, core: CoreOf, actor: Me, changed: str = "") -> Response:
    done = "The password is changed, and every other browser signed out." if changed else ""
    return await _account(request, core, actor, done=done)


@routes.post("/account/password")
async def change_password(request: Request, core: CoreOf, actor: Me) -> Response:
    fields = await read_form(request)
    errors: dict[str, str] = {}
    if fields.get("new") != fields.get("again"):
        errors["again"] = "is not the same as the new password"
    else:
        try:
            wanted = PasswordChange(
                current=SecretStr(fields["current"]) if fields.get("current") else None,
                new=SecretStr(fields.get("new", "")),
            )
            await users.set_password(
                core,
                actor,
                "me",
                current=None if wanted.current is None else wanted.current.get_secret_value(),
                new=wanted.new.get_secret_value(),
            )
        except (ValidationError, Invalid) as error:
            errors |= {fault.field: fault.message for fault in faults_of(error)}
    if errors:
        return await _account(request, core, actor, errors=errors, status=422)
    return see("/account?changed=1")


@routes.post("/account/sessions/others")
async def end_others(core: CoreOf, actor: Me) -> Response:
    await people.end_other_sessions(core, actor)
    return see("/account")


@routes.post("/account/sessions/{id}/end")
async def end_session(core: CoreOf, actor: Me, id: Id) -> Response:
    await people.end_session(core, actor, id)
    return see("/account")


@routes.get("/tokens")
async def list_tokens(request: Request, core: CoreOf, actor: TokenOwner) -> Response:
    return await _tokens(request, core, actor)


@routes.post("/tokens")
async def make_token(request: Request, core: CoreOf, actor: TokenOwner) -> Response:
    """The secret is on the page that answers, and nowhere else."""
    fields = await read_form(request)
    chosen = [name.removeprefix("scope.") for name in fields if name.startswith("scope.")]
    asked: dict[str, object] = {"name": fields.get("name", "")}
    if fields.get("reach") == "some":
        asked["scopes"] = chosen
    if fields.get("expires_in"):
        asked["expires_in"] = fields["expires_in"]
    if fields.get("workspace"):
        asked["workspace"] = fields["workspace"]
    faults: Sequence[FieldError]
    try:
        wanted = NewToken.model_validate(asked, strict=False)
        draft = TokenDraft(
            name=wanted.name,
            scopes=None if wanted.scopes is None else frozenset(wanted.scopes),
            expires_in_s=wanted.expires_in,
            workspace=wanted.workspace,
        )
        made, secret = await tokens.create(core, actor, draft)
    except (ValidationError, AlcoveError) as error:
        faults = faults_of(error)
    else:
        return await _tokens(request, core, actor, made=made, secret=secret.text)
    return await _tokens(request, core, actor, values=fields, faults=faults, status=422)


@routes.post("/tokens/{id}/revoke")
async def revoke_token(core: CoreOf, actor: TokenOwner, id: Id) -> Response:
    await tokens.revoke(core, actor, id)
    return see("/tokens")


@routes.get("/keys")
async def list_keys(request: Request, core: CoreOf, actor: Me) -> Response:
    return await _keys(request, core, actor)


@routes.post("/keys")
async def add_key(request: Request, core: CoreOf, actor: Me) -> Response:
    fields = await read_form(request)
    faults: Sequence[FieldError]
    try:
        wanted = NewSshKey.model_validate(
            {"name": fields.get("name", ""), "public_key": fields.get("public_key", "").strip()},
            strict=False,
        )
        await ssh_keys.add(core, actor, name=wanted.name, public_key=wanted.public_key)
    except (ValidationError, AlcoveError) as error:
        faults = faults_of(error)
    else:
        return see("/keys")
    # What was pasted is not shown again: it may be the private key.
    values = {"name": fields.get("name", "")}
    return await _keys(request, core, actor, values=values, faults=faults, status=422)


@routes.post("/keys/{id}/remove")
async def remove_key(core: CoreOf, actor: Me, id: Id) -> Response:
    await ssh_keys.remove(core, actor, id)
    return see("/keys")


async def _account(
    request: Request,
    core: Core,
    actor: Actor,
    *,
    errors: Mapping[str, str] = _NO_ERRORS,
    done: str = "",
    status: int = 200,
) -> Response:
    user = await users.me(core, actor)
    context = AccountPage(
        frame=_frame(request, actor, "Your account"),
        now=core.clock(),
        tabs=_tabs("/account"),
        user=user,
        has_password=await people.has_password(core, actor),
        sessions=await people.sessions_of(core, actor),
        here=actor.credential,
        errors={name: errors.get(name, "") for name in ("current", "new", "again")},
        done=done,
        length_min=PASSWORD_MIN,
        live=await connections(core, actor, Place.ACCOUNT),
        commands=(Command(f"alcove login {core.settings.url}", "Sign in from a terminal"),),
    )
    return _private(render("account.html", context, status=status))


async def _tokens(
    request: Request,
    core: Core,
    actor: Actor,
    *,
    values: Mapping[str, str] = _NO_ERRORS,
    faults: Sequence[FieldError] = (),
    made: Token | None = None,
    secret: str = "",
    status: int = 200,
) -> Response:
    mine = WorkspaceFilters(owner=actor.id)
    offered = await workspaces.find(core, actor, mine, PageRequest(WORKSPACES_OFFERED))
    known = ("name", "scopes", "expires_in", "workspace")
    context = TokensPage(
        frame=_frame(request, actor, "Tokens"),
        now=core.clock(),
        tabs=_tabs("/tokens"),
        tokens=await tokens.find(core, actor, user=None, after="", limit=TOKENS_SHOWN),
        workspaces={one.id: one.name for one in offered.items},
        scopes=sorted(OWN[actor.role] & (actor.scopes or OWN[actor.role])),
        lives=LIVES,
        values=values,
        errors={n: next((f.message for f in faults if _of(f) == n), "") for n in known},
        other="; ".join(f.message for f in faults if _of(f) not in known),
        made=made,
        secret=secret,
        commands=(Command("alcove token create NAME --json"), Command("alcove token list")),
    )
    return _private(render("tokens.html", context, status=status))


async def _keys(
    request: Request,
    core: Core,
    actor: Actor,
    *,
    values: Mapping[str, str] = _NO_ERRORS,
    faults: Sequence[FieldError] = (),
    status: int = 200,
) -> Response:
    known = ("name", "public_key")
    context = KeysPage(
        frame=_frame(request, actor, "SSH keys"),
        now=core.clock(),
        tabs=_tabs("/keys"),
        keys=await ssh_keys.find(core, actor, after="", limit=ssh_keys.KEYS_MAX),
        values=values,
        errors={n: next((f.message for f in faults if f.field == n), "") for n in known},
        other="; ".join(f.message for f in faults if f.field not in known),
        commands=(Command("alcove config-ssh", "No key needed"),),
    )
    return _private(render("keys.html", context, status=status))


def _of(fault: FieldError) -> str:
    """`scopes.0` is about `scopes`."""
    return fault.field.partition(".")[0]


def _private(page: Response) -> Response:
    page.headers["cache-control"] = "no-store"
    return page


def _tabs(here: str) -> Sequence[Tab]:
    found = (("Account", "/account"), ("Tokens", "/tokens"), ("SSH keys", "/keys"))
    return [Tab(name, path, here=path == here) for name, path in found]


def _frame(request: Request, actor: Actor, name: str) -> Frame:
    return frame_of(request, actor, crumbs=(Link("Your account", "/account"), Link(name)))
