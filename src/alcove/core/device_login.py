"""Signing a program in through a browser, after RFC 8628.

The program asks for two codes and shows the short one; somebody who is signed in compares it,
sees who asks and from where, and lets it in or not; the program, which has asked again and again
with the long one, then gets a token of its own, once. Rules: only a browser's session decides,
since a token could else outlive itself; one who guesses short codes is slowed down long before
it has any chance; how many wait is bounded, in all and for each address.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from alcove.core import tokens
from alcove.core.identity import event
from alcove.core.proofs import Secret, SecretKind, new_secret, parse
from alcove.model.access import Actor, Permission, allows
from alcove.model.errors import Denied, NoGrant, NotFound, TooMany
from alcove.model.event import EventKind
from alcove.model.identity import DeviceLogin, DeviceState, Token, User
from alcove.store import device_logins, events, users

if TYPE_CHECKING:
    from alcove.core.app import Core

LIFE: Final = timedelta(minutes=10)
INTERVAL_S: Final = 2
"""How long a program waits between two questions."""
ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""No vowels, so no words; no digits to take for letters (RFC 8628, section 6.1)."""
CODE_LENGTH: Final = 8
PENDING_MAX: Final = 1000
PENDING_MAX_PER_ADDRESS: Final = 50
LOOKS_PER_MINUTE: Final = 20
# One who guesses as fast as allowed for as long as a full table of codes lives.
assert len(ALPHABET) ** CODE_LENGTH > LOOKS_PER_MINUTE * 10 * PENDING_MAX * 10_000
_OVER: Final = "the sign-in was used already or is older than ten minutes; begin again"
_UNKNOWN: Final = (
    "no program waits with this code: it was decided already, or is older than ten minutes; "
    "compare it with what the program shows, or begin again there"
)


@dataclass(frozen=True, slots=True)
class Begun:
    """`device` is for the program alone, `user_code` for people."""

    device: Secret
    user_code: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Granted:
    token: Token
    secret: Secret
    user: User


async def begin(core: "Core", *, client: str, address: str) -> Begun:
    """Codes for a program that says it is this. Raises TooMany."""
    _slow_down(core, f"device:{address}", core.settings.sign_in_rate_per_minute)
    now = core.clock()
    device = new_secret(SecretKind.DEVICE)
    async with core.db.transaction() as tx:
        await device_logins.drop_expired(tx, now=now)
        if (
            await device_logins.count_all(tx) >= PENDING_MAX
            or await device_logins.count_all(tx, address=address) >= PENDING_MAX_PER_ADDRESS
        ):
            raise TooMany("too many programs wait to be signed in", retry_after_s=60)
        while True:
            login = DeviceLogin(
                user_code="".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH)),
                client=client,
                address=address,
                state=DeviceState.PENDING,
                user=None,
                created_at=now,
                expires_at=now + LIFE,
            )
            if await device_logins.add(tx, login, device_sha256=device.sha256):
                return Begun(device, login.user_code, login.expires_at)


async def look(core: "Core", actor: Actor, text: str) -> DeviceLogin:
    """What waits under the code that somebody typed. Raises NotFound, Denied, TooMany."""
    _require_session(actor)
    _slow_down(core, f"device-look:{actor.id}", LOOKS_PER_MINUTE)
    async with core.db.read() as tx:
        found = await device_logins.by_user_code(tx, normal_code(text))
    if found is None or found.state is not DeviceState.PENDING or found.expires_at <= core.clock():
        raise NotFound(_UNKNOWN)
    return found


async def decide(core: "Core", actor: Actor, text: str, *, approve: bool) -> DeviceLogin:
    """Let the program in as the caller, or keep it out. Raises as `look` does."""
    found = await look(core, actor, text)
    state = DeviceState.APPROVED if approve else DeviceState.DENIED
    said = event(
        actor,
        EventKind.DEVICE_APPROVED if approve else EventKind.DEVICE_DENIED,
        subject=actor.id,
        owner=actor.id,
        detail={"client": found.client, "from": found.address},
    )
    async with core.db.transaction() as tx:
        if not await device_logins.decide(tx, found.user_code, state, actor.id, now=core.clock()):
            raise NotFound(_UNKNOWN)
        await events.append(tx, core.clock(), said)
    return found


async def exchange(core: "Core", text: str, *, address: str, request_id: str = "") -> Granted:
    """The token, once. Raises NoGrant while nobody has decided, and when there is none to have."""
    device = parse(text, SecretKind.DEVICE)
    if device is None:
        raise NoGrant("expired_token", _OVER)
    key = f"device-ask:{device.sha256}"
    if core.gate.rates.take(key, per_minute=60 // INTERVAL_S, burst=2, now=core.clock()):
        raise NoGrant("slow_down", f"ask every {INTERVAL_S} s, and now 5 s less often")
    async with core.db.transaction() as tx:
        taken = await device_logins.take_approved(tx, device.sha256, now=core.clock())
        if taken is not None and taken.user is not None:
            user = await users.get(tx, taken.user)
            if user is None or user.disabled:
                raise NoGrant("access_denied", "whoever approved it may not sign in any more")
            actor = Actor(
                id=user.id, name=user.name, role=user.role, address=address, request_id=request_id
            )
            token, secret = await tokens.create_for_device(core, tx, actor, name=taken.client)
            return Granted(token, secret, user)
        found = await device_logins.get(tx, device.sha256)
    if found is None or found.expires_at <= core.clock():
        raise NoGrant("expired_token", _OVER)
    if found.state is DeviceState.DENIED:
        raise NoGrant("access_denied", "the sign-in was denied in the browser")
    raise NoGrant("authorization_pending", "nobody has approved it yet")


def normal_code(text: str) -> str:
    """`bcdf-ghjk` is `BCDFGHJK`; at most what a code could be is kept."""
    return "".join(c for c in text[:64].upper() if c.isalnum())[: CODE_LENGTH + 1]


def shown_code(code: str) -> str:
    """`BCDF-GHJK`."""
    return f"{code[: CODE_LENGTH // 2]}-{code[CODE_LENGTH // 2 :]}"


def page_url(core: "Core", code: str | None = None) -> str:
    """Where people decide."""
    page = f"{core.settings.url}/device"
    return page if code is None else f"{page}?code={shown_code(code)}"


def _require_session(actor: Actor) -> None:
    # A person's token always ends; a session is what has no such end here.
    limited = actor.scopes is not None or actor.workspace is not None
    if limited or actor.service or actor.expires_at is not None:
        raise Denied("a program is let in by a person in a browser, not with a token")
    if not allows(actor, Permission.TOKEN_MANAGE, owner=actor.id):
        raise Denied("you may not have tokens")


def _slow_down(core: "Core", key: str, per_minute: int) -> None:
    wait = core.gate.rates.take(key, per_minute=per_minute, burst=per_minute, now=core.clock())
    if wait:
        raise TooMany("too many tries; wait a little", retry_after_s=max(1, round(wait)))
