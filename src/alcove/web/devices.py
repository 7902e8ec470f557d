"""`/device`: who is signed in lets a program in, or keeps it out.

Rule: looking decides nothing. What asks and from where is shown first; the answer is a form of
our own page's.
"""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from alcove.core import device_login
from alcove.http.access import caller
from alcove.http.body import read_form
from alcove.model.errors import FieldError, Invalid, NotFound, Unauthenticated
from alcove.model.identity import DeviceLogin
from alcove.web.contexts import Frame
from alcove.web.frame import frame_of
from alcove.web.pages import CoreOf, render, router, see

routes = router()
VIEW = "device.html"


@dataclass(frozen=True, slots=True)
class DevicePage:
    """Without `login` it asks for a code; with `decided` it tells what was done."""

    frame: Frame
    code: str = ""
    login: DeviceLogin | None = None
    decided: str = ""
    fault: str = ""


@routes.get("/device")
async def look(
    request: Request, core: CoreOf, code: Annotated[str, Query(max_length=64)] = ""
) -> Response:
    try:
        actor = await caller(request)
    except Unauthenticated:
        # With the code, so that nobody has to type it after signing in.
        here = f"/device?code={quote(code)}" if code else "/device"
        return see(f"/sign-in?next={quote(here)}")
    frame = frame_of(request, actor)
    if not code:
        return render(VIEW, DevicePage(frame))
    try:
        found = await device_login.look(core, actor, code)
    except NotFound as error:
        return render(VIEW, DevicePage(frame, code=code, fault=str(error)), status=404)
    return render(VIEW, DevicePage(frame, device_login.shown_code(found.user_code), found))


@routes.post("/device")
async def decide(request: Request, core: CoreOf) -> Response:
    actor = await caller(request)
    frame = frame_of(request, actor)
    fields = await read_form(request)
    code, decision = fields.get("code", "")[:64], fields.get("decision")
    if decision not in {"approve", "deny"}:
        said = "is approve or deny"
        raise Invalid(f"decision: {said}", [FieldError("decision", said)])
    try:
        found = await device_login.decide(core, actor, code, approve=decision == "approve")
    except NotFound as error:
        return render(VIEW, DevicePage(frame, code=code, fault=str(error)), status=404)
    shown = device_login.shown_code(found.user_code)
    done = "approved" if decision == "approve" else "denied"
    return render(VIEW, DevicePage(frame, shown, found, decided=done))
