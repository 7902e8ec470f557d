"""All SQL about templates. Functions take an open transaction and never commit."""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from alcove.model.errors import Conflict
from alcove.model.template import Template, TemplateVersion
from alcove.store.db import Tx
from alcove.store.rows import dump_recipe, load_template, load_version
from alcove.store.schema import template_versions, templates

_VERSION = [c for c in template_versions.c if c.name != "files"]

_ACTIVE: Final = (
    select(*_VERSION)
    .join(templates, templates.c.name == template_versions.c.template)
    .where(template_versions.c.number == templates.c.active)
    .order_by(template_versions.c.template)
)
_ACTIVE_NAMED: Final = _ACTIVE.where(templates.c.name.in_(bindparam("names", expanding=True)))


async def get(tx: Tx, name: str) -> Template | None:
    row = (await tx.execute(select(templates).where(templates.c.name == name))).one_or_none()
    return None if row is None else load_template(row)


async def lock(tx: Tx, name: str) -> Template | None:
    """Like `get`, and nobody else may push or promote until the transaction ends."""
    found = select(templates).where(templates.c.name == name).with_for_update()
    row = (await tx.execute(found)).one_or_none()
    return None if row is None else load_template(row)


async def find(tx: Tx, *, after: str, limit: int) -> Sequence[Template]:
    """By name, from the one after `after`."""
    query = select(templates).where(templates.c.name > after).order_by(templates.c.name)
    return [load_template(row) for row in await tx.execute(query.limit(limit))]


async def active_versions(tx: Tx, names: Sequence[str] | None = None) -> Sequence[TemplateVersion]:
    """What new workspaces get, of all templates or of those named."""
    if names is None:
        found = await tx.execute(_ACTIVE)
    else:
        found = await tx.execute(_ACTIVE_NAMED, {"names": list(names)})
    return [load_version(row) for row in found]


async def version(tx: Tx, name: str, number: int) -> TemplateVersion | None:
    query = select(*_VERSION).where(
        template_versions.c.template == name, template_versions.c.number == number
    )
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else load_version(row)


async def versions(tx: Tx, name: str, *, before: int, limit: int) -> Sequence[TemplateVersion]:
    """Newest first, those numbered below `before`."""
    query = (
        select(*_VERSION)
        .where(template_versions.c.template == name, template_versions.c.number < before)
        .order_by(template_versions.c.number.desc())
        .limit(limit)
    )
    return [load_version(row) for row in await tx.execute(query)]


async def files(tx: Tx, name: str, number: int) -> Mapping[str, bytes] | None:
    query = select(template_versions.c.files).where(
        template_versions.c.template == name, template_versions.c.number == number
    )
    packed = (await tx.execute(query)).scalar_one_or_none()
    if packed is None:
        return None
    named: dict[str, str] = json.loads(zlib.decompress(packed))
    return {path: base64.b64decode(text) for path, text in named.items()}


async def add(tx: Tx, name: str, *, now: datetime) -> None:
    """Raises Conflict when somebody else has just added it."""
    try:
        await tx.execute(
            insert(templates).values(
                name=name, active=None, latest=0, created_at=now, updated_at=now
            )
        )
    except IntegrityError as error:
        raise Conflict(f"template {name!r} was just added by somebody else; push again") from error


async def add_version(tx: Tx, version: TemplateVersion, files: Mapping[str, bytes]) -> None:
    named = {path: base64.b64encode(data).decode() for path, data in sorted(files.items())}
    await tx.execute(
        insert(template_versions).values(
            template=version.template,
            number=version.number,
            recipe=dump_recipe(version.recipe),
            files=zlib.compress(json.dumps(named).encode()),
            digest=version.digest,
            message=version.message,
            created_at=version.created_at,
            created_by=version.created_by,
        )
    )
    await tx.execute(
        update(templates)
        .where(templates.c.name == version.template)
        .values(latest=version.number, updated_at=version.created_at)
    )


async def promote(tx: Tx, name: str, number: int, *, now: datetime) -> None:
    await tx.execute(
        update(templates).where(templates.c.name == name).values(active=number, updated_at=now)
    )


async def shown_versions(tx: Tx, names: Sequence[str]) -> Mapping[str, TemplateVersion]:
    """By template: the active version, or the latest when none is."""
    query = (
        select(*_VERSION)
        .join(templates, templates.c.name == template_versions.c.template)
        .where(
            template_versions.c.template.in_(names),
            template_versions.c.number == func.coalesce(templates.c.active, templates.c.latest),
        )
    )
    found = [load_version(row) for row in await tx.execute(query)]
    return {version.template: version for version in found}
