"""Signing in through a browser: the program's side of RFC 8628."""

import time
from dataclasses import dataclass
from types import TracebackType

import httpx

from alcove.sdk._async.primitives import sleep
from alcove.sdk._async.transport import AsyncTransport
from alcove.sdk.answers import request
from alcove.sdk.credentials import Endpoint, normal_url
from alcove.sdk.errors import AlcoveError, Unavailable
from alcove.sdk.retry import Repeat
from alcove.wire.devices import DeviceLogin, DeviceToken, DeviceTokenRequest, NewDeviceLogin

SLOWER_S = 5


@dataclass(frozen=True, slots=True)
class DeviceCodes:
    """Show `user_code` and `url` to whoever signs in; `url_with_code` needs no typing."""

    user_code: str
    url: str
    url_with_code: str
    expires_in_s: int


class AsyncDeviceSignIn:
    """`begin`, show what it answers, then `wait` for the token. Use it as a context manager."""

    def __init__(self, url: str, *, http: httpx.AsyncBaseTransport | None = None) -> None:
        self.url = normal_url(url)
        self._transport = AsyncTransport(Endpoint(self.url, ""), http=http)
        self._begun: DeviceLogin | None = None

    async def begin(self, client: str) -> DeviceCodes:
        """`client` is what people are shown, and the token's name: `alcove on ada-laptop`."""
        body = request(NewDeviceLogin, {"client": client})
        begun = await self._transport.post(DeviceLogin, "/device/code", body, repeat=Repeat.UNSENT)
        self._begun = begun
        return DeviceCodes(
            user_code=begun.user_code,
            url=begun.verification_uri,
            url_with_code=begun.verification_uri_complete,
            expires_in_s=begun.expires_in,
        )

    async def wait(self) -> DeviceToken:
        """Until somebody has decided. Raises AlcoveError with the code `access_denied` or
        `expired_token`."""
        if self._begun is None:
            raise ValueError("begin first")
        pause = self._begun.interval
        end = time.monotonic() + self._begun.expires_in
        asked = request(DeviceTokenRequest, {"device_code": self._begun.device_code})
        while True:
            await sleep(pause)
            try:
                return await self._transport.post(
                    DeviceToken, "/device/token", asked, repeat=Repeat.UNSENT
                )
            except Unavailable:
                # A server that is being restarted does not end this; the code's end does.
                if time.monotonic() > end:
                    raise
            except AlcoveError as error:
                if error.code == "slow_down":
                    pause += SLOWER_S
                elif error.code != "authorization_pending":
                    raise

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def __aenter__(self) -> "AsyncDeviceSignIn":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
