"""What one workspace's page tells: how its start went, what it uses, its ports, what happened.

What only the runtime knows is asked for a moment and left out if it does not come.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import anyio

from alcove.core import apps, events, identity, ports, usages
from alcove.core.agent import Reach
from alcove.core.app import Core
from alcove.drivers.base import Usage
from alcove.http.addresses import app_url
from alcove.model.access import Actor
from alcove.model.app import AppState
from alcove.model.errors import AlcoveError
from alcove.model.event import Event, EventKind
from alcove.model.lifecycle import SETTLED
from alcove.model.port import Level
from alcove.model.units import format_duration, parse_duration
from alcove.model.workspace import Phase, Workspace
from alcove.store.events import EventFilters
from alcove.web.catalog import icon_named
from alcove.web.contexts import Badge, Command, Fact, Step
from alcove.web.text import cores, image_title, mib, span

PATIENCE_S: Final = 1.0
"""For a part that is loaded by itself."""
PAGE_PATIENCE_S: Final = 0.1
"""For a whole page, which is shown without what was not said by then."""
STEPS_MAX: Final = 50
LINE_MAX: Final = 300
LIVES: Final[Mapping[str, str]] = {
    "15m": "15 minutes",
    "1h": "an hour",
    "8h": "8 hours",
    "1d": "a day",
    "7d": "a week",
}

_HEALTH: Final = {
    AppState.WAITING: ("grey", "ring"),
    AppState.STARTING: ("blue", "half"),
    AppState.HEALTHY: ("green", "full"),
    AppState.UNHEALTHY: ("amber", "triangle"),
    AppState.UNKNOWN: ("grey", "question"),
}
assert _HEALTH.keys() == frozenset(AppState)


@dataclass(frozen=True, slots=True)
class PortLine:
    port: int
    process: str
    listening: bool
    level: Level
    expires_at: datetime | None
    url: str = ""
    """Where a browser opens it; empty where there is no domain for apps."""


@dataclass(frozen=True, slots=True)
class AppLine:
    """What the template offers to open in a browser."""

    name: str
    icon: str
    url: str
    badge: Badge
    reason: str
    port: int | None


@dataclass(frozen=True, slots=True)
class Live:
    """What changes by itself."""

    moving: bool
    steps: Sequence[Step] = ()
    usage: Usage | None = None
    ports: Sequence[PortLine] = ()
    apps: Sequence[AppLine] = ()
    levels: Sequence[Level] = ()
    """At which a port may be shared."""
    lives: Mapping[str, str] = field(default_factory=dict[str, str])
    """How long a link to a port may be good; empty where there are no links."""
    answered: bool = True
    """Whether the agent said in time what was asked."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event in words."""

    at: datetime
    who: str
    what: str
    why: str
    kind: str


@dataclass(slots=True)
class _Said:
    """What the runtime has said so far."""

    steps: Sequence[Step] = ()
    usage: Usage | None = None
    ports: Sequence[PortLine] = ()
    apps: Sequence[AppLine] = ()
    missing: int = 0


async def live_of(
    core: Core,
    workspace: Workspace,
    *,
    owner: str,
    state: bool = True,
    doors: bool = True,
    patience_s: float = PATIENCE_S,
) -> Live:
    """How its start went and what it uses (`state`), its ports and apps (`doors`). All is asked
    at the same time, and waited for `patience_s` at most."""
    moving = workspace.phase not in SETTLED or workspace.health == "starting"
    if workspace.phase is not Phase.RUNNING or workspace.handle is None:
        steps = [Step(str(workspace.phase), "running", workspace.reason)] if moving else []
        return Live(moving, steps)
    said = _Said()

    async def startup() -> None:
        answer = await core.agents.startup(Reach.of(workspace), seen=0, wait_s=0)
        said.steps = steps_of(answer.get("steps") or (), core.clock())

    async def usage() -> None:
        said.usage = (await usages.latest(core, [workspace.id])).get(workspace.id)

    async def listening() -> None:
        said.ports = await ports_of(core, workspace, owner=owner)

    async def offered() -> None:
        said.apps = await apps_of(core, workspace, owner=owner)

    asked = [*((startup, usage) if state else ()), *((listening, offered) if doors else ())]
    await _ask(said, asked, patience_s)
    return Live(
        moving,
        said.steps,
        said.usage,
        said.ports,
        said.apps,
        levels=ports.levels(core, workspace),
        lives=lives_of(ports.link_life_max_s(core.settings)),
        answered=not said.missing,
    )


async def _ask(
    said: _Said, asked: Sequence[Callable[[], Awaitable[None]]], patience_s: float
) -> None:
    """All of these at once; what is not said in time, or makes no sense, is missing."""

    async def one(ask: Callable[[], Awaitable[None]]) -> None:
        with suppress(AlcoveError, ValueError, AttributeError):
            await ask()
            said.missing -= 1

    said.missing = len(asked)
    with anyio.move_on_after(patience_s):
        async with anyio.create_task_group() as tasks:
            for ask in asked:
                tasks.start_soon(one, ask)


def lives_of(most_s: int) -> Mapping[str, str]:
    """Of links, as a form offers them. A bound that leaves none of them is offered itself."""
    found = {life: said for life, said in LIVES.items() if parse_duration(life) <= most_s}
    if not found and most_s:
        found[format_duration(most_s)] = format_duration(most_s)
    return found


async def apps_of(core: Core, workspace: Workspace, *, owner: str) -> Sequence[AppLine]:
    """In the order that the template gives them; not those that it hides."""
    found: list[AppLine] = []
    for one in sorted(await apps.of(core, workspace), key=lambda one: one.app.order):
        app = one.app
        if app.hidden:
            continue
        # A template names where a link leads; only to pages, never to a program of the reader's.
        url = app.url or app_url(core.settings, workspace, app.name, owner=owner) or ""
        safe = url if url.startswith(("https://", "http://")) else ""
        tone, shape = _HEALTH[one.health.state]
        badge = Badge(str(one.health.state), shape, tone)
        icon = icon_named(app.icon, "globe")
        found.append(AppLine(app.display_name, icon, safe, badge, one.health.reason, app.port))
    return found


async def ports_of(core: Core, workspace: Workspace, *, owner: str) -> Sequence[PortLine]:
    there = {one.port: one for one in await ports.listening(core, workspace)}
    shared = {one.port: one for one in await ports.shared(core, workspace)}
    return [
        PortLine(
            port=port,
            process=(there[port].process or "") if port in there else "",
            listening=port in there,
            level=ports.level_now(core, workspace, port, shared.get(port)),
            expires_at=shared[port].expires_at if port in shared else None,
            url=app_url(core.settings, workspace, port, owner=owner) or "",
        )
        for port in sorted({*there, *shared})
    ]


def steps_of(said: Sequence[Mapping[str, Any]], now: datetime) -> Sequence[Step]:
    """The agent's start-up as a timeline; it is hostile, so everything is cut."""
    found: list[Step] = []
    for one in said[:STEPS_MAX]:
        state = {"done": "done", "failed": "failed", "running": "running"}.get(
            str(one.get("state")), "waiting"
        )
        detail = ""
        if state == "failed":
            detail = str(one.get("error") or f"exit code {one.get('exit_code')}")[:LINE_MAX]
        elif state == "running":
            detail = str(one.get("progress") or "")[:LINE_MAX]
        found.append(Step(str(one.get("name"))[:64], state, detail, _took(one, now)))
    return found


def commands_of(workspace: Workspace, host: str) -> Sequence[Command]:
    """`host`: as `alcove config-ssh` names it."""
    name = workspace.name
    return (
        Command(f"ssh {host}", "SSH"),
        Command(f"alcove ssh {name}", "Without setting up"),
        Command(f"alcove exec {name} -- COMMAND", "One command"),
        Command(f"alcove cp FILE {name}:", "Copy a file"),
    )


def facts_of(workspace: Workspace, owner: str) -> Sequence[Fact]:
    spec = workspace.spec
    found = [
        Fact("Owner", owner),
        Fact(
            "Template",
            f"{workspace.template} version {workspace.template_version}",
            path=f"/templates/{workspace.template}",
        ),
        Fact("Image", image_title(spec.image), mono=True),
        Fact("Isolation", f"{spec.isolation}, network {spec.network}"),
        Fact(
            "Limits",
            f"{cores(spec.resources.cpu_millis)}, {mib(spec.resources.memory_mib)} memory, "
            f"{mib(spec.resources.disk_mib)} disk",
        ),
    ]
    if workspace.repo:
        branch = f" ({workspace.branch})" if workspace.branch else ""
        found.append(Fact("Repository", f"{workspace.repo}{branch}", mono=True))
    found += [Fact(f"Label {key}", value) for key, value in sorted(workspace.labels.items())]
    found.append(Fact("Created", at=workspace.created_at))
    if workspace.phase is Phase.RUNNING and workspace.started_at:
        found.append(Fact("Started", at=workspace.started_at))
    if workspace.started:
        why = f": {workspace.started_why}" if workspace.started_why else ""
        found.append(Fact("First came", f"from {workspace.started}{why}"))
    found.append(Fact("Last used", at=workspace.last_used_at))
    if workspace.stop_at:
        found.append(Fact("Stops", at=workspace.stop_at))
    if workspace.expires_at:
        found.append(Fact("Deleted", at=workspace.expires_at))
    found.append(Fact("Id", workspace.id, mono=True))
    return found


async def told_of(core: Core, actor: Actor, workspace: Workspace, *, limit: int) -> Sequence[Told]:
    """Newest first."""
    about = EventFilters(subject=workspace.id)
    found = await events.newest(core, actor, filters=about, limit=limit)
    names = await identity.names(core, {event.actor for event in found})
    return [told(event, names[event.actor]) for event in found]


def told(event: Event, who: str) -> Told:
    detail = event.detail
    what = event.kind.replace(".", " ").replace("_", " ")
    if event.kind == EventKind.WORKSPACE_PHASE_CHANGED:
        what = f"{detail.get('from')} → {detail.get('to')}"
    elif event.kind == EventKind.WORKSPACE_HEALTH_CHANGED:
        what = f"start-up: {detail.get('to')}"
    why = str(detail.get("reason") or detail.get("command") or detail.get("path") or "")
    return Told(event.at, who, what[:LINE_MAX], why[:LINE_MAX], event.kind)


def _took(step: Mapping[str, Any], now: datetime) -> str:
    try:
        began = datetime.fromisoformat(str(step["started_at"]))
        text = step.get("ended_at")
        ended = datetime.fromisoformat(str(text)) if text else now
        seconds = (ended - began).total_seconds()
    except (KeyError, ValueError, TypeError):
        return ""
    return f"{max(0.0, seconds):.1f}s" if seconds < 10 else span(seconds)
