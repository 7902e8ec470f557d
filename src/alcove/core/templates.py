"""The catalog: push a version, promote it, look. A version never changes once it is pushed."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final

import anyio

from alcove.core import access, identity
from alcove.core.app import Core
from alcove.core.bus import TIMERS
from alcove.core.deciding import decided
from alcove.core.pages import Page, PageRequest, read_cursor, write_cursor
from alcove.core.rendering import rendered
from alcove.drivers.base import ImageBuilder
from alcove.model.access import Actor, Permission
from alcove.model.errors import Conflict, DriverError, FieldError, Invalid, NotFound, Unavailable
from alcove.model.event import EventKind, NewEvent
from alcove.model.identity import User
from alcove.model.image import OciImage
from alcove.model.template import Recipe, Template, TemplateVersion
from alcove.recipes import lint as linter
from alcove.recipes.native import read
from alcove.recipes.problem import Problem, Severity
from alcove.recipes.render import Rendered
from alcove.store import events, templates
from alcove.wire.workspaces import NewWorkspace

FILES_MAX: Final = 1000
BYTES_MAX: Final = 4 * 1024 * 1024
PATH_MAX: Final = 512
VERSION_MAX: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A template with the version that stands for it: the active, or else the latest one."""

    template: Template
    version: TemplateVersion


@dataclass(frozen=True, slots=True)
class Pushed:
    """`warnings` are the linter's. `fresh`: False when these very files were the latest."""

    version: TemplateVersion
    active: bool
    warnings: Sequence[Problem]
    fresh: bool


async def push(
    core: Core,
    actor: Actor,
    *,
    name: str | None,
    files: Mapping[str, bytes],
    message: str = "",
    promote: bool = False,
) -> Pushed:
    """Add a version made of these files. The same files again answer the latest version.

    Raises Invalid with every problem of the files (`template.yaml:14: cpu: …`), Unavailable when
    an image's tag cannot be resolved now.
    """
    access.require(actor, Permission.TEMPLATE_WRITE)
    # Off the loop: a large template takes a while to read.
    recipe, warnings = await anyio.to_thread.run_sync(_read, files, name)
    recipe = await _pinned(core, recipe)
    digest = digest_of(files)
    now = core.clock()
    async with core.db.transaction() as tx:
        template = await templates.lock(tx, recipe.name)
        news: list[NewEvent] = []
        if template is None:
            await templates.add(tx, recipe.name, now=now)
            template = Template(recipe.name, None, 0, now, now)
            news.append(_event(EventKind.TEMPLATE_CREATED, actor, recipe.name, {}))
        latest = await templates.version(tx, recipe.name, template.latest)
        same = latest is not None and latest.digest == digest and latest.recipe == recipe
        if latest is None or not same:
            latest = TemplateVersion(
                template=recipe.name,
                number=template.latest + 1,
                recipe=recipe,
                digest=digest,
                message=message,
                created_at=now,
                created_by=actor.id,
            )
            await templates.add_version(tx, latest, files)
            told = {"version": latest.number, "digest": digest, "message": message}
            news.append(_event(EventKind.TEMPLATE_PUSHED, actor, recipe.name, told))
        active = template.active == latest.number
        if promote and not active:
            active = True
            await templates.promote(tx, recipe.name, latest.number, now=now)
            told = {"version": latest.number, "before": template.active}
            news.append(_event(EventKind.TEMPLATE_PROMOTED, actor, recipe.name, told))
        if news:
            await events.append(tx, now, *news)
    core.catalog.forget(recipe.name)
    core.bus.wake(TIMERS)
    return Pushed(latest, active, warnings, fresh=not same)


async def promote(core: Core, actor: Actor, name: str, number: int) -> CatalogEntry:
    """Make a version the one that new workspaces get; an older one rolls back."""
    access.require(actor, Permission.TEMPLATE_WRITE)
    now = core.clock()
    async with core.db.transaction() as tx:
        template = await templates.lock(tx, name)
        if template is None:
            raise _no_template(name)
        version = await templates.version(tx, name, number)
        if version is None:
            raise _no_version(template, number)
        if template.active != number:
            await templates.promote(tx, name, number, now=now)
            told = {"version": number, "before": template.active}
            promoted = _event(EventKind.TEMPLATE_PROMOTED, actor, name, told)
            await events.append(tx, now, promoted)
    core.catalog.forget(name)
    core.bus.wake(TIMERS)
    return CatalogEntry(replace(template, active=number, updated_at=now), version)


async def get(core: Core, actor: Actor, name: str) -> CatalogEntry:
    access.require(actor, Permission.TEMPLATE_READ)
    async with core.db.read() as tx:
        template = await templates.get(tx, name)
        shown = await templates.shown_versions(tx, [name])
    if template is None or name not in shown:
        raise _no_template(name)
    return CatalogEntry(template, shown[name])


async def find(core: Core, actor: Actor, page: PageRequest) -> Page[CatalogEntry]:
    """The catalog by name, in two queries a page."""
    access.require(actor, Permission.TEMPLATE_READ)
    after = str(read_cursor(page.cursor, str)[0]) if page.cursor else ""
    async with core.db.read() as tx:
        found = await templates.find(tx, after=after, limit=page.limit + 1)
        items = found[: page.limit]
        shown = await templates.shown_versions(tx, [template.name for template in items])
    entries = [CatalogEntry(t, shown[t.name]) for t in items if t.name in shown]
    more = len(found) > page.limit
    return Page(entries, write_cursor(items[-1].name) if more else None)


async def versions(
    core: Core, actor: Actor, name: str, page: PageRequest
) -> Page[TemplateVersion]:
    """Newest first."""
    access.require(actor, Permission.TEMPLATE_READ)
    before = read_cursor(page.cursor, int)[0] if page.cursor else VERSION_MAX
    assert isinstance(before, int)
    async with core.db.read() as tx:
        if await templates.get(tx, name) is None:
            raise _no_template(name)
        found = await templates.versions(tx, name, before=before, limit=page.limit + 1)
    items = found[: page.limit]
    more = len(found) > page.limit
    return Page(items, write_cursor(items[-1].number) if more else None)


async def version(core: Core, actor: Actor, name: str, number: int) -> TemplateVersion:
    access.require(actor, Permission.TEMPLATE_READ)
    async with core.db.read() as tx:
        found = await templates.version(tx, name, number)
        template = await templates.get(tx, name)
    if template is None:
        raise _no_template(name)
    if found is None:
        raise _no_version(template, number)
    return found


async def files(core: Core, actor: Actor, name: str, number: int) -> Mapping[str, bytes]:
    """What was pushed as this version."""
    await version(core, actor, name, number)
    async with core.db.read() as tx:
        return await templates.files(tx, name, number) or {}


def lint(files: Mapping[str, bytes], *, name: str = "template") -> Sequence[Problem]:
    """All problems and advice, with a dry run of each preset; nothing is stored."""
    _check_files(files)
    return linter.lint(files, name)


async def render_dry(
    core: Core, actor: Actor, name: str, request: NewWorkspace
) -> tuple[TemplateVersion, Rendered]:
    """What a workspace of this request would be. Raises Invalid like creating it would."""
    entry = await get(core, actor, name)
    chosen = entry.version
    if request.template_version is not None:
        chosen = await version(core, actor, name, request.template_version)
    nobody = User(
        id=actor.id,
        name=actor.name,
        display_name=actor.name,
        email="",
        role=actor.role,
        service=actor.service,
        disabled=False,
        created_at=core.clock(),
    )
    asked = request.name or "dry-run"
    made = rendered(chosen.recipe, request, name=asked, owner=nobody, settings=core.settings)
    return chosen, decided(
        actor,
        chosen.recipe,
        made,
        asked=request.isolation,
        settings=core.settings,
        capabilities=await core.capabilities(),
    )


def digest_of(files: Mapping[str, bytes]) -> str:
    """Over names and contents, each with its length, so that no two sets share one."""
    total = hashlib.sha256()
    for path, data in sorted(files.items()):
        name = path.encode()
        total.update(len(name).to_bytes(8) + name + len(data).to_bytes(8) + data)
    return f"sha256:{total.hexdigest()}"


def _read(files: Mapping[str, bytes], name: str | None) -> tuple[Recipe, Sequence[Problem]]:
    _check_files(files)
    reading = read(files, name or "template")
    faults = [p for p in reading.problems if p.severity is Severity.ERROR]
    if reading.recipe is None or faults:
        where = [FieldError(f"{p.file}:{p.line}: {p.field}", p.message) for p in faults]
        first = str(faults[0]) if faults else "the template cannot be read"
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise Invalid(first + more, where)
    recipe = reading.recipe if name is None else replace(reading.recipe, name=name)
    return recipe, [p for p in reading.problems if p.severity is not Severity.ERROR]


def _check_files(files: Mapping[str, bytes]) -> None:
    if len(files) > FILES_MAX:
        raise Invalid(f"files: {len(files)} files; at most {FILES_MAX} make a template")
    if sum(len(data) for data in files.values()) > BYTES_MAX:
        raise Invalid(f"files: together they are larger than {BYTES_MAX // 2**20} MiB")
    for path in files:
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts or len(path) > PATH_MAX:
            said = "is not a path below the template's directory"
            raise Invalid(f"files: {path[:80]!r} {said}", [FieldError(path[:80], said)])


async def _pinned(core: Core, recipe: Recipe) -> Recipe:
    """The tag of an OCI image becomes the digest it has now, for good."""
    image = recipe.image
    if not isinstance(image, OciImage) or image.digest:
        return recipe
    if not isinstance(core.driver, ImageBuilder):
        said = f"the driver {core.driver.name} pulls no images; name one by digest"
        raise Invalid(f"image.oci: {said}", [FieldError("image.oci", said)])
    try:
        reference, digest = await core.driver.pin(image.reference)
    except DriverError as error:
        if error.retry:
            raise Unavailable(f"image.oci: {image.reference}: {error}") from error
        raise Invalid(f"image.oci: {error}", [FieldError("image.oci", str(error))]) from error
    return replace(recipe, image=OciImage(reference, digest))


def _event(kind: EventKind, actor: Actor, name: str, detail: Mapping[str, object]) -> NewEvent:
    said = {"template": name, **detail}
    return identity.event(actor, kind, subject=f"template:{name}"[:64], owner=None, detail=said)


def _no_template(name: str) -> NotFound:
    return NotFound(f"there is no template {name[:64]!r}")


def _no_version(template: Template, number: int) -> NotFound | Conflict:
    return NotFound(
        f"template {template.name!r} has no version {number}; latest is {template.latest}"
    )
