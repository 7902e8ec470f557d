"""`/users/me/ssh-keys` and `/ssh/certificates`: what SSH clients prove themselves with."""

from typing import Annotated

from fastapi import Path, Query
from starlette.requests import Request
from starlette.responses import Response

from alcove.api.answers import answer, documents, nothing
from alcove.api.arguments import CoreOf
from alcove.api.idempotency import IdempotencyKey, once
from alcove.api.pages import PageQuery, after
from alcove.api.routing import router
from alcove.core import ssh_ca, ssh_keys
from alcove.core.pages import write_cursor
from alcove.http.access import needs, needs_sign_in
from alcove.http.body import body
from alcove.model import ssh as model
from alcove.model.access import Actor, Permission
from alcove.wire.base import Page
from alcove.wire.ssh import NewSshCertificate, NewSshKey, SshCertificate, SshKey

routes = router("ssh")


@routes.get("/users/me/ssh-keys", **documents(Page[SshKey]))
async def find(
    core: CoreOf,
    actor: Annotated[Actor, needs_sign_in()],
    query: Annotated[PageQuery, Query()],
) -> Response:
    """List the caller's SSH keys."""
    found = await ssh_keys.find(core, actor, after=after(query.cursor), limit=query.limit + 1)
    shown = found[: query.limit]
    more = write_cursor(shown[-1].id) if len(found) > query.limit else None
    return answer(Page[SshKey](items=[present(key) for key in shown], next_cursor=more))


@routes.post("/users/me/ssh-keys", **documents(SshKey, 400, 409, 413, 415, status=201))
async def add(
    request: Request,
    core: CoreOf,
    actor: Annotated[Actor, needs_sign_in()],
    new: Annotated[NewSshKey, body(NewSshKey)],
    key: IdempotencyKey = None,
) -> Response:
    """Add a public key. Whoever has its private half comes in as the caller, with all rights
    of the caller's; a token with scopes or for one workspace cannot add one."""

    async def act() -> Response:
        made = await ssh_keys.add(core, actor, name=new.name, public_key=new.public_key)
        return answer(present(made), 201)

    return await once(request, actor, key, act)


@routes.delete("/users/me/ssh-keys/{id}", **documents(None, 404, status=204))
async def remove(
    core: CoreOf,
    actor: Annotated[Actor, needs_sign_in()],
    id: Annotated[str, Path(max_length=64)],
) -> Response:
    """Remove a key; connections that came in by it end within a second."""
    await ssh_keys.remove(core, actor, id)
    return nothing()


@routes.post("/ssh/certificates", **documents(SshCertificate, 400, 404, 409, 413, 415, status=201))
async def issue(
    request: Request,
    core: CoreOf,
    actor: Annotated[Actor, needs(Permission.WORKSPACE_READ)],
    new: Annotated[NewSshCertificate, body(NewSshCertificate)],
    key: IdempotencyKey = None,
) -> Response:
    """Sign a public key for five minutes. The certificate may what the caller's credential may,
    and a connection that came in by it ends with that credential."""

    async def act() -> Response:
        made = await ssh_ca.issue(core, actor, new.public_key, workspace=new.workspace)
        _, _, port = core.settings.ssh_address.rpartition(":")
        shown = SshCertificate(
            certificate=made.text,
            serial=str(made.serial),
            expires_at=made.expires_at,
            login=made.workspace,
            port=int(port) if port else None,
            host_keys=[ssh_ca.host_public_key(core.secret)],
        )
        return answer(shown, 201)

    return await once(request, actor, key, act)


def present(key: model.SshKey) -> SshKey:
    return SshKey(
        id=key.id,
        name=key.name,
        public_key=key.public_key,
        fingerprint=key.fingerprint,
        created_at=key.created_at,
        last_used_at=key.last_used_at,
    )
