"""`/device`: how a program gets a token through somebody's browser. Open to everybody: there is
nothing yet to show."""

from typing import Annotated

from starlette.requests import Request
from starlette.responses import Response

from alcove.api.answers import answer, documents
from alcove.api.arguments import CoreOf
from alcove.api.routing import router
from alcove.api.tokens import present
from alcove.core import device_login
from alcove.http.body import body
from alcove.http.context import context_of
from alcove.wire.devices import DeviceLogin, DeviceToken, DeviceTokenRequest, NewDeviceLogin

routes = router("tokens")


@routes.post("/device/code", **documents(DeviceLogin, 400, 413, 415, status=201))
async def begin(
    request: Request, core: CoreOf, new: Annotated[NewDeviceLogin, body(NewDeviceLogin)]
) -> Response:
    """Begin to sign a program in. Show the user code, and send people to the address."""
    address = context_of(request.scope).address
    begun = await device_login.begin(core, client=new.client, address=address)
    shown = DeviceLogin(
        device_code=begun.device.text,
        user_code=device_login.shown_code(begun.user_code),
        verification_uri=device_login.page_url(core),
        verification_uri_complete=device_login.page_url(core, begun.user_code),
        expires_in=int(device_login.LIFE.total_seconds()),
        interval=device_login.INTERVAL_S,
    )
    return answer(shown, 201)


@routes.post("/device/token", **documents(DeviceToken, 400, 413, 415, status=201))
async def exchange(
    request: Request, core: CoreOf, asked: Annotated[DeviceTokenRequest, body(DeviceTokenRequest)]
) -> Response:
    """The token, once somebody has let the program in. Until then, and if it never comes, a 400
    whose `code` is RFC 8628's: `authorization_pending` (ask again), `slow_down` (ask again, and
    from now on 5 s less often), `access_denied`, `expired_token`."""
    context = context_of(request.scope)
    granted = await device_login.exchange(
        core, asked.device_code, address=context.address, request_id=context.request_id
    )
    shown = present(granted.token, granted.user.name).model_dump()
    return answer(DeviceToken(**shown, token=granted.secret.text), 201)
