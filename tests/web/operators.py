"""What tests of the operators' pages share: anybody's browser, and forms of another site."""

from collections.abc import Mapping

import httpx

from alcove.core.sign_in import new_link
from alcove.http.access import COOKIE
from tests.api.served import BASE, Served

PEOPLE = ("root", "max", "eve", "ada")
"""An owner, an admin, an auditor, a member."""
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


async def browser(api: Served, name: str) -> httpx.AsyncClient:
    secret, _ = await new_link(api.core, None, name)
    found = api.bare(origin=BASE)
    await found.post("/sign-in/link", data={"token": secret.text})
    assert COOKIE in found.cookies
    return found


async def statuses(api: Served, method: str, path: str) -> Mapping[str, int]:
    """What each role gets, and who is not signed in."""
    found: dict[str, int] = {}
    for name in PEOPLE:
        client = await browser(api, name)
        found[name] = (await client.request(method, path, data={"x": "y"})).status_code
    found["nobody"] = (
        await api.bare(origin=BASE).request(method, path, data={"x": "y"})
    ).status_code
    return found


async def forged(api: Served, name: str) -> httpx.AsyncClient:
    """The cookie of somebody, sent by a form of another site."""
    cookie = (await browser(api, name)).cookies[COOKIE]
    return api.bare(origin="http://evil.example", cookie=f"{COOKIE}={cookie}")


def is_safe(page: str) -> bool:
    """Nothing that a user wrote is markup in it."""
    return "<script>alert" not in page and "<img src=x" not in page
