"""People and service accounts: who they are, what they have, and what an administrator does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import Path, Query
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from alcove.core import fleet, people, sign_in, tokens, users
from alcove.core.app import Core
from alcove.core.sign_in import link_url
from alcove.core.users import UserChanges, UserDraft
from alcove.http.access import needs
from alcove.http.body import read_form
from alcove.http.problem import faults_of
from alcove.model.access import Actor, Permission, Role, allows
from alcove.model.errors import AlcoveError, Conflict, FieldError, Invalid
from alcove.model.identity import Token
from alcove.store.fleet import RowFilters
from alcove.store.people import OpenSession, Person
from alcove.web.addresses import filtered
from alcove.web.contexts import Badge, Command, Frame, Link
from alcove.web.frame import frame_of
from alcove.web.pages import CoreOf, render, router, see
from alcove.wire.users import NewUser

routes = router()
Reader = Annotated[Actor, needs(Permission.AUDIT_READ)]
Manager = Annotated[Actor, needs(Permission.USER_MANAGE)]
Name = Annotated[str, Path(max_length=64)]
SHOWN: Final = 100
LIVING: Final = Badge("active", "full", "green")
DISABLED: Final = Badge("disabled", "ring", "grey")
ROLES: Final[Mapping[Role, str]] = {
    Role.MEMBER: "has workspaces of their own",
    Role.AUDITOR: "reads everything about everyone, changes nothing, enters nothing",
    Role.ADMIN: "may do everything, also with what is others'",
    Role.OWNER: "like an admin, and cannot be disabled by others",
}


@dataclass(frozen=True, slots=True)
class Row:
    person: Person
    badge: Badge
    path: str


@dataclass(frozen=True, slots=True)
class PeoplePage:
    frame: Frame
    now: datetime
    rows: Sequence[Row]
    q: str
    next: str
    may_manage: bool
    form: "Form"
    commands: Sequence[Command]


@dataclass(frozen=True, slots=True)
class Form:
    """Making somebody: what was filled in, and what is wrong with it."""

    values: Mapping[str, str]
    errors: Mapping[str, str]
    other: str
    roles: Sequence[str]
    open: bool


@dataclass(frozen=True, slots=True)
class PersonPage:
    frame: Frame
    now: datetime
    person: Person
    state: Badge
    path: str
    sessions: Sequence[OpenSession]
    tokens: Sequence[Token]
    workspaces: Sequence[Link]
    more: int
    """Workspaces beyond those that are named."""
    may_manage: bool
    why_not: str
    """Why the reader may not change this one; empty when they may."""
    roles: Sequence[tuple[Role, str]]
    link: str
    """One that signs in once; shown this once."""
    link_until: datetime | None
    fault: str
    commands: Sequence[Command]


@dataclass(frozen=True, slots=True)
class SurePage:
    """What will happen, before it does."""

    frame: Frame
    title: str
    losses: Sequence[str]
    keeps: Sequence[str]
    action: str
    button: str
    back: str
    command: str
    tone: str = "danger solid"


@routes.get("/people")
async def find(
    request: Request,
    core: CoreOf,
    actor: Reader,
    q: Annotated[str, Query(max_length=128)] = "",
    after: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    return await _page(request, core, actor, q=q.strip(), after=after, form=_form(actor))


@routes.post("/people")
async def create(request: Request, core: CoreOf, actor: Manager) -> Response:
    """A person gets a link to sign in; a service account gets tokens."""
    fields = await read_form(request)
    faults: Sequence[FieldError]
    try:
        wanted = NewUser.model_validate(
            {
                "name": fields.get("name", ""),
                "display_name": fields.get("display_name", ""),
                "email": fields.get("email", ""),
                "role": fields.get("role", Role.MEMBER.value),
                "service": fields.get("service") == "true",
            },
            strict=False,
        )
        draft = UserDraft(
            name=wanted.name,
            display_name=wanted.display_name,
            email=wanted.email,
            role=wanted.role,
            service=wanted.service,
        )
        made = await users.create(core, actor, draft)
    except (ValidationError, Invalid) as error:
        faults = faults_of(error)
    except AlcoveError as error:
        faults = (FieldError("name" if isinstance(error, Conflict) else "", str(error)),)
    else:
        return see(f"/people/{quote(made.name)}")
    form = _form(actor, values=fields, faults=faults)
    return await _page(request, core, actor, q="", after="", form=form, status=422)


@routes.get("/people/{name}")
async def show(request: Request, core: CoreOf, actor: Reader, name: Name) -> Response:
    return await _person(request, core, actor, name)


@routes.post("/people/{name}/role")
async def set_role(request: Request, core: CoreOf, actor: Manager, name: Name) -> Response:
    fields = await read_form(request)
    roles = {role.value: role for role in Role}
    role = roles.get(fields.get("role", ""))
    if role is None:
        raise Invalid(f"role: is one of {', '.join(roles)}")
    try:
        await users.update(core, actor, name, UserChanges(role=role))
    except Conflict as error:
        return await _person(request, core, actor, name, fault=str(error), status=409)
    return see(f"/people/{quote(name)}")


@routes.get("/people/{name}/disable")
async def confirm_disable(request: Request, core: CoreOf, actor: Manager, name: Name) -> Response:
    person = await people.get(core, actor, name)
    user = person.user
    context = SurePage(
        frame=_frame(request, actor, user.name),
        title=f"Disable {user.name}?",
        losses=(
            f"{_many(person.sessions, 'browser')} signed in as {user.name}, within a second",
            f"{_many(person.tokens, 'API token')} of {user.name}, for good",
            "every SSH session, terminal and stream that these opened",
        ),
        keeps=(
            f"{_many(person.workspaces, 'workspace')} with every file in them, "
            f"{_many(person.running, 'one')} running",
            f"the name {user.name}, what {user.name} did in the log, and SSH keys, which let "
            "nobody in meanwhile",
        ),
        action=f"/people/{quote(user.name)}/disable",
        button=f"Disable {user.name}",
        back=f"/people/{quote(user.name)}",
        command=f"alcove user disable {user.name}",
    )
    return render("sure.html", context)


@routes.post("/people/{name}/disable")
async def disable(request: Request, core: CoreOf, actor: Manager, name: Name) -> Response:
    return await _switch(request, core, actor, name, disabled=True)


@routes.post("/people/{name}/enable")
async def enable(request: Request, core: CoreOf, actor: Manager, name: Name) -> Response:
    return await _switch(request, core, actor, name, disabled=False)


@routes.post("/people/{name}/link")
async def make_link(request: Request, core: CoreOf, actor: Manager, name: Name) -> Response:
    """One that signs in once; nothing ends."""
    secret, until = await sign_in.new_link(core, actor, name)
    url = link_url(core, secret)
    return await _person(request, core, actor, name, link=url, link_until=until)


@routes.get("/people/{name}/reset")
async def confirm_reset(request: Request, core: CoreOf, actor: Manager, name: Name) -> Response:
    person = await people.get(core, actor, name)
    user = person.user
    context = SurePage(
        frame=_frame(request, actor, user.name),
        title=f"Reset the password of {user.name}?",
        losses=(
            f"the password of {user.name}",
            f"{_many(person.sessions, 'browser')} signed in as {user.name}",
        ),
        keeps=(f"{_many(person.tokens, 'API token')} and all workspaces",),
        action=f"/people/{quote(user.name)}/reset",
        button="Reset and make a link",
        back=f"/people/{quote(user.name)}",
        command=f"alcove user link {user.name}",
    )
    return render("sure.html", context)


@routes.post("/people/{name}/reset")
async def reset(request: Request, core: CoreOf, actor: Manager, name: Name) -> Response:
    try:
        secret, until = await people.reset_password(core, actor, name)
    except Conflict as error:
        return await _person(request, core, actor, name, fault=str(error), status=409)
    url = link_url(core, secret)
    return await _person(request, core, actor, name, link=url, link_until=until)


@routes.post("/people/{name}/sessions/{id}/end")
async def end_session(
    core: CoreOf, actor: Manager, name: Name, id: Annotated[str, Path(max_length=64)]
) -> Response:
    await people.end_session(core, actor, id, ref=name)
    return see(f"/people/{quote(name)}")


@routes.post("/people/{name}/tokens/{id}/revoke")
async def revoke_token(
    core: CoreOf, actor: Manager, name: Name, id: Annotated[str, Path(max_length=64)]
) -> Response:
    await tokens.revoke(core, actor, id)
    return see(f"/people/{quote(name)}")


async def _switch(
    request: Request, core: Core, actor: Actor, name: str, *, disabled: bool
) -> Response:
    try:
        await users.update(core, actor, name, UserChanges(disabled=disabled))
    except Conflict as error:
        return await _person(request, core, actor, name, fault=str(error), status=409)
    return see(f"/people/{quote(name)}")


async def _page(
    request: Request,
    core: Core,
    actor: Actor,
    *,
    q: str,
    after: str,
    form: Form,
    status: int = 200,
) -> Response:
    found = await people.find(core, actor, after=after, text=q or None, limit=SHOWN + 1)
    shown = found[:SHOWN]
    more = len(found) > SHOWN
    context = PeoplePage(
        frame=frame_of(request, actor, here="/people", crumbs=(Link("People"),)),
        now=core.clock(),
        rows=[Row(one, badge_of(one), f"/people/{quote(one.user.name)}") for one in shown],
        q=q,
        next=filtered("/people", {"q": q, "after": shown[-1].user.name}) if more else "",
        may_manage=allows(actor, Permission.USER_MANAGE),
        form=form,
        commands=(Command("alcove user list"), Command("alcove user create NAME")),
    )
    return render("people.html", context, status=status)


async def _person(
    request: Request,
    core: Core,
    actor: Actor,
    name: str,
    *,
    link: str = "",
    link_until: datetime | None = None,
    fault: str = "",
    status: int = 200,
) -> Response:
    person = await people.get(core, actor, name)
    user = person.user
    manages = allows(actor, Permission.USER_MANAGE)
    why_not = _why_not(actor, person)
    theirs = manages and not why_not
    owned = await fleet.find(core, actor, RowFilters(owner=user.name), limit=20)
    context = PersonPage(
        frame=_frame(request, actor, user.name),
        now=core.clock(),
        person=person,
        state=badge_of(person),
        path=f"/people/{quote(user.name)}",
        sessions=await people.sessions_of(core, actor, user.id) if theirs else (),
        tokens=await tokens.find(core, actor, user=user.id, after="", limit=200)
        if theirs and not user.disabled
        else (),
        workspaces=[
            Link(row.workspace.name, f"/workspaces/{row.workspace.id}") for row in owned.rows
        ],
        more=owned.total - len(owned.rows),
        may_manage=manages,
        why_not=why_not,
        roles=[(role, said) for role, said in ROLES.items() if _may_give(actor, person, role)],
        link=link,
        link_until=link_until,
        fault=fault,
        commands=(
            Command(f"alcove user {'enable' if user.disabled else 'disable'} {user.name}"),
            Command(f"alcove user link {user.name}"),
        ),
    )
    page = render("person.html", context, status=status)
    page.headers["cache-control"] = "no-store"
    return page


def badge_of(person: Person) -> Badge:
    return DISABLED if person.user.disabled else LIVING


def _why_not(actor: Actor, person: Person) -> str:
    if not allows(actor, Permission.USER_MANAGE):
        return f"The role {actor.role} looks and changes nothing."
    if person.user.role is Role.OWNER and actor.role is not Role.OWNER:
        return f"{person.user.name} is an owner; only owners change owners."
    if person.user.id == actor.id:
        return "This is you: your own account's page has your password, tokens and keys."
    return ""


def _may_give(actor: Actor, person: Person, role: Role) -> bool:
    return role is not Role.OWNER or (actor.role is Role.OWNER and not person.user.service)


def _form(
    actor: Actor,
    *,
    values: Mapping[str, str] | None = None,
    faults: Sequence[FieldError] = (),
) -> Form:
    known = ("name", "display_name", "email", "role", "service")
    return Form(
        values={name: (values or {}).get(name, "") for name in known},
        errors={name: next((f.message for f in faults if f.field == name), "") for name in known},
        other="; ".join(f.message for f in faults if f.field not in known),
        roles=[r.value for r in ROLES if r is not Role.OWNER or actor.role is Role.OWNER],
        open=bool(faults),
    )


def _frame(request: Request, actor: Actor, name: str) -> Frame:
    crumbs = (Link("People", "/people"), Link(name))
    return frame_of(request, actor, here="/people", crumbs=crumbs)


def _many(number: int, noun: str) -> str:
    if noun == "one":
        return f"{number} of them"
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
