"""Addresses of single files that need no token: signed with a secret of the workspace's that only
those get who may read and write all its files.

The signature is HMAC-SHA256, by that secret, over `v1:files:METHOD:path:expires`; `expires` is in
seconds since 1970, and 0 is never. Daytona's clients make it themselves.
"""

import base64
import hashlib
import hmac
from typing import Final

from alcove.core import access
from alcove.core.app import Core
from alcove.model.access import Actor, Permission
from alcove.model.errors import NotFound, Unauthenticated
from alcove.model.workspace import WorkspaceId
from alcove.store import users, workspaces

CREDENTIAL: Final = "signed-url"
EXPIRES_MAX: Final = 15
_SCOPES: Final = frozenset(
    {Permission.WORKSPACE_FILES, Permission.WORKSPACE_READ, Permission.WORKSPACE_UPDATE}
)


async def key(core: Core, actor: Actor, ref: str) -> str:
    """The secret of one workspace, for who may use its files."""
    found = await access.workspace(core, actor, ref, Permission.WORKSPACE_FILES)
    return _key(core, found.id)


def signature(secret: str, *, method: str, path: str, expires: str) -> str:
    said = f"v1:files:{method}:{path}:{expires}".encode(errors="surrogatepass")
    digest = hmac.new(secret.encode(), said, hashlib.sha256).digest()
    return "v1_" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def check(core: Core, id: str, given: str, *, method: str, path: str, expires: str) -> None:
    """Raises Unauthenticated unless exactly this was signed, and still holds."""
    good = signature(_key(core, id), method=method, path=path, expires=expires)
    same = hmac.compare_digest(given.encode(errors="replace"), good.encode())
    fresh = expires.isascii() and expires.isdecimal() and len(expires) <= EXPIRES_MAX
    if not same or not fresh or 0 < int(expires) <= core.clock().timestamp():
        raise Unauthenticated("the signature of this address is wrong, or it has expired")


async def enter(core: Core, id: str, *, address: str, request_id: str) -> Actor:
    """Who holds a good signature acts as the owner, and with this workspace's files only.
    Raises NotFound, also when the owner may not sign in."""
    if not access.WORKSPACE_ID.fullmatch(id):
        raise NotFound(f"there is no workspace {id[:64]!r}")
    async with core.db.read() as tx:
        found = await workspaces.get(tx, WorkspaceId(id))
        owner = None if found is None else await users.get(tx, found.owner)
    if found is None or owner is None or owner.disabled:
        raise NotFound(f"there is no workspace {id!r}")
    return Actor(
        id=owner.id,
        name=owner.name,
        role=owner.role,
        service=owner.service,
        scopes=_SCOPES,
        workspace=found.id,
        credential=CREDENTIAL,
        address=address,
        request_id=request_id,
    )


def _key(core: Core, id: str) -> str:
    said = f"daytona-files:{id}".encode(errors="surrogatepass")
    return hmac.new(core.secret, said, hashlib.sha256).hexdigest()
