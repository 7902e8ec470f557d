"""One template: its versions, what changed between them, and which one new workspaces get."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Final
from urllib.parse import quote

import anyio
from fastapi import Path, Query
from starlette.requests import Request
from starlette.responses import Response

from alcove.core import fleet, identity, template_diff, templates
from alcove.core.app import Core
from alcove.core.fleet import TemplateUse
from alcove.core.pages import PageRequest
from alcove.core.template_diff import Diff
from alcove.http.access import needs
from alcove.model.access import Actor, Permission, allows
from alcove.model.template import Recipe, Template, TemplateVersion
from alcove.recipes.problem import Problem
from alcove.store.fleet import VersionUse
from alcove.web.catalog import icon_of
from alcove.web.contexts import Command, Fact, Frame, Link, Tab
from alcove.web.frame import frame_of
from alcove.web.pages import CoreOf, render, router, see
from alcove.web.people import SurePage
from alcove.web.text import cores, image_title, mib

routes = router()
Name = Annotated[str, Path(max_length=64)]
Number = Annotated[int, Path(ge=1, le=templates.VERSION_MAX)]
Version = Annotated[int | None, Query(ge=1, le=templates.VERSION_MAX)]
Reader = Annotated[Actor, needs(Permission.TEMPLATE_READ)]
Writer = Annotated[Actor, needs(Permission.TEMPLATE_WRITE)]
SHOWN: Final = 50
NAMED: Final = 12
UNUSED: Final = VersionUse(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class VersionRow:
    version: TemplateVersion
    author: str
    active: bool
    use: VersionUse
    diff: str
    """Where it is compared with the one before it, or with the active one."""
    promote: str


@dataclass(frozen=True, slots=True)
class ParameterRow:
    name: str
    title: str
    kind: str
    default: str
    limits: str
    description: str
    mutable: bool


@dataclass(frozen=True, slots=True)
class TemplatePage:
    frame: Frame
    now: datetime
    tabs: Sequence[Tab]
    template: Template
    shown: TemplateVersion
    symbol: str
    """In the sprite."""
    facts: Sequence[Fact]
    parameters: Sequence[ParameterRow]
    versions: Sequence[VersionRow]
    older: str
    problems: Sequence[Problem]
    use: TemplateUse | None
    """None: the reader may not see what others have."""
    may_create: bool
    may_write: bool
    commands: Sequence[Command]


@dataclass(frozen=True, slots=True)
class DiffPage:
    frame: Frame
    tabs: Sequence[Tab]
    template: Template
    diff: Diff
    numbers: Sequence[int]
    may_promote: bool
    """Whether the newer side is not the active one, and the reader may make it that."""


@routes.get("/templates/{name}")
async def show(
    request: Request, core: CoreOf, actor: Reader, name: Name, version: Version = None
) -> Response:
    """With `version` as that one is; else as the one that new workspaces get."""
    entry = await templates.get(core, actor, name)
    shown = entry.version
    if version is not None:
        shown = await templates.version(core, actor, name, version)
    found = await templates.versions(core, actor, name, PageRequest(SHOWN))
    use = await _use(core, actor, name)
    files = await templates.files(core, actor, name, shown.number)
    check = partial(templates.lint, files, name=name)
    authors = await identity.names(core, {one.created_by for one in found.items})
    context = TemplatePage(
        frame=_frame(request, actor, name),
        now=core.clock(),
        tabs=tabs_of(name, "", actor),
        template=entry.template,
        shown=shown,
        symbol=icon_of(shown.recipe),
        facts=facts_of(shown),
        parameters=parameters_of(shown.recipe),
        versions=[
            _row(entry.template, one, authors[one.created_by], use, actor) for one in found.items
        ],
        older="" if found.next_cursor is None else f"alcove template versions {name}",
        problems=await anyio.to_thread.run_sync(check),
        use=use,
        may_create=entry.template.active is not None
        and allows(actor, Permission.WORKSPACE_CREATE, owner=actor.id),
        may_write=allows(actor, Permission.TEMPLATE_WRITE),
        commands=(
            Command(f"alcove template versions {name}"),
            Command(f"alcove create -t {name}"),
        ),
    )
    return render("template.html", context)


@routes.get("/templates/{name}/diff")
async def diff(
    request: Request,
    core: CoreOf,
    actor: Reader,
    name: Name,
    before: Version = None,
    after: Version = None,
) -> Response:
    """Without numbers: what the latest has that the active one has not."""
    template = (await templates.get(core, actor, name)).template
    after = after or template.latest
    before = (
        before
        or (template.active if template.active not in {None, after} else None)
        or max(1, after - 1)
    )
    found = await template_diff.compare(core, actor, name, before=before, after=after)
    versions = await templates.versions(core, actor, name, PageRequest(200))
    context = DiffPage(
        frame=_frame(request, actor, name, f"{before} to {after}"),
        tabs=tabs_of(name, "diff", actor),
        template=template,
        diff=found,
        numbers=[one.number for one in versions.items],
        may_promote=after != template.active and allows(actor, Permission.TEMPLATE_WRITE),
    )
    return render("template_diff.html", context)


@routes.get("/templates/{name}/versions/{number}/promote")
async def confirm_promote(
    request: Request, core: CoreOf, actor: Writer, name: Name, number: Number
) -> Response:
    template = (await templates.get(core, actor, name)).template
    await templates.version(core, actor, name, number)
    use = await fleet.uses(core, actor, name, but=number, limit=NAMED)
    others = [(v, one) for v, one in sorted(use.versions.items()) if v != number]
    stay = sum(one.many for _, one in others)
    pooled = sum(one.pooled for _, one in others)
    losses = [f"New workspaces of {name} are made from version {number}"]
    if template.active is not None:
        losses[0] += f", and no longer from version {template.active}"
    if pooled:
        losses.append(f"{pooled} pool members of other versions are replaced; nobody has them")
    keeps = [
        f"{one.many} {'workspace stays' if one.many == 1 else 'workspaces stay'} on version {v}"
        for v, one in others
        if one.many
    ]
    if stay:
        named = ", ".join(f"{owner}/{workspace}" for _, workspace, owner, _ in use.workspaces)
        rest = stay - len(use.workspaces)
        keeps.append(named + (f" and {rest} more" if rest > 0 else ""))
        keeps.append("Each goes to the new version when its owner updates it.")
    else:
        keeps.append("No workspace is of another version.")
    back = f"/templates/{quote(name)}"
    context = SurePage(
        frame=_frame(request, actor, name, f"Version {number}"),
        title=f"{_verb(template, number)} {name} to version {number}?",
        losses=losses,
        keeps=keeps,
        action=f"{back}/versions/{number}/promote",
        button=f"{_verb(template, number)} to version {number}",
        back=f"{back}/diff?before={template.active or number}&after={number}",
        command=f"alcove template promote {name} {number}",
        tone="primary",
    )
    return render("sure.html", context)


@routes.post("/templates/{name}/versions/{number}/promote")
async def promote(core: CoreOf, actor: Writer, name: Name, number: Number) -> Response:
    await templates.promote(core, actor, name, number)
    return see(f"/templates/{quote(name)}")


def tabs_of(name: str, here: str, actor: Actor) -> Sequence[Tab]:
    found = [("Overview", ""), ("Compare versions", "diff")]
    if allows(actor, Permission.POOL_READ):
        found.append(("Pool", "pool"))
    base = f"/templates/{quote(name)}"
    return [Tab(title, f"{base}/{part}" if part else base, here == part) for title, part in found]


def facts_of(version: TemplateVersion) -> Sequence[Fact]:
    recipe = version.recipe
    limits = recipe.resources
    most = recipe.ceilings
    found = [
        Fact("For", "agents" if recipe.kind == "agent" else "people"),
        Fact("Image", image_title(recipe.image)),
        Fact("Isolation", str(recipe.isolation)),
        Fact("Network", str(recipe.network)),
        Fact("Processors", f"{cores(limits.cpu_millis)}, at most {cores(most.cpu_millis)}"),
        Fact("Memory", f"{mib(limits.memory_mib)}, at most {mib(most.memory_mib)}"),
        Fact("Disk", f"{mib(limits.disk_mib)}, at most {mib(most.disk_mib)}"),
        Fact("Root", str(recipe.root)),
        Fact("User", recipe.user, mono=True),
    ]
    if recipe.scripts:
        found.append(Fact("Start-up", ", ".join(one.name for one in recipe.scripts)))
    if recipe.presets:
        found.append(Fact("Presets", ", ".join(one.name for one in recipe.presets)))
    found.append(Fact("Digest", version.digest[:19], mono=True))
    return found


def parameters_of(recipe: Recipe) -> Sequence[ParameterRow]:
    found: list[ParameterRow] = []
    for one in recipe.parameters:
        bounds = [
            f"{word} {bound:g}"
            for word, bound in (("from", one.min), ("to", one.max))
            if bound is not None
        ]
        if one.options:
            bounds.append(", ".join(one.options))
        if one.pattern:
            bounds.append(one.pattern)
        default = one.default
        if isinstance(default, tuple):
            default = ", ".join(default)
        found.append(
            ParameterRow(
                name=one.name,
                title=one.display_name,
                kind=one.type.value,
                default="" if default is None else str(default),
                limits="; ".join(bounds),
                description=one.description,
                mutable=one.mutable,
            )
        )
    return found


async def _use(core: Core, actor: Actor, name: str) -> TemplateUse | None:
    if not allows(actor, Permission.AUDIT_READ):
        return None
    return await fleet.uses(core, actor, name)


def _row(
    template: Template,
    version: TemplateVersion,
    author: str,
    use: TemplateUse | None,
    actor: Actor,
) -> VersionRow:
    base = f"/templates/{quote(template.name)}"
    active = version.number == template.active
    against = version.number - 1 if active else template.active or version.number - 1
    may = allows(actor, Permission.TEMPLATE_WRITE) and not active
    return VersionRow(
        version=version,
        author=author,
        active=active,
        use=UNUSED if use is None else use.versions.get(version.number, UNUSED),
        diff=f"{base}/diff?before={against}&after={version.number}" if against >= 1 else "",
        promote=f"{base}/versions/{version.number}/promote" if may else "",
    )


def _verb(template: Template, number: int) -> str:
    return "Roll back" if template.active is not None and number < template.active else "Promote"


def _frame(request: Request, actor: Actor, name: str, *more: str) -> Frame:
    here = f"/templates/{quote(name)}"
    crumbs = [Link("Templates", "/templates"), Link(name, here if more else "")]
    crumbs += [Link(one) for one in more]
    return frame_of(request, actor, here="/templates", crumbs=crumbs)
