"""How the server fares: database, driver, duties, loops, complaints, settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from starlette.requests import Request
from starlette.responses import Response

from alcove.core import health
from alcove.core.health import Health
from alcove.core.machine import Machine
from alcove.http.access import needs
from alcove.model.access import Actor, Permission
from alcove.web.contexts import Command, Fact, Frame, Link
from alcove.web.fleet_numbers import FULL
from alcove.web.frame import frame_of
from alcove.web.pages import CoreOf, render, router
from alcove.web.text import mib, size, span

routes = router()
Operator = Annotated[Actor, needs(Permission.SERVER_OPERATE)]
SLOW_MS: Final = 250.0
KEEPS: Final = {"nothing": "nothing", "files": "files", "memory": "files and memory"}


@dataclass(frozen=True, slots=True)
class TierRow:
    name: str
    there: bool
    runtime: str
    pause: str
    snapshot: str
    why: str


@dataclass(frozen=True, slots=True)
class ServerPage:
    frame: Frame
    health: Health
    problems: Sequence[str]
    """What somebody should look at, in sentences."""
    facts: Sequence[Fact]
    tiers: Sequence[TierRow]
    commands: Sequence[Command]


@routes.get("/server")
async def show(request: Request, core: CoreOf, actor: Operator) -> Response:
    found = await health.examine(core, actor)
    context = ServerPage(
        frame=frame_of(request, actor, here="/server", crumbs=(Link("Server"),)),
        health=found,
        problems=problems_of(found),
        facts=_facts(found),
        tiers=[_tier(tier) for tier in found.driver.tiers],
        commands=(
            Command("sudo alcove doctor", "What the machine lacks, and how to get it"),
            Command("alcove status"),
            Command(f"curl -s {found.url}/metrics", "Numbers for Prometheus"),
        ),
    )
    return render("server.html", context)


def problems_of(found: Health) -> Sequence[str]:
    """Pure."""
    said: list[str] = []
    if found.database.problem:
        said.append(f"The database cannot be asked: {found.database.problem}.")
    elif found.database.latency_ms > SLOW_MS:
        took = f"{found.database.latency_ms:.0f} ms"
        said.append(f"The database is slow: a small query took {took}.")
    if found.driver.problem:
        said.append(f"The driver {found.driver.name} does not answer: {found.driver.problem}.")
    said += [
        f"Nobody has the duty {duty.name}: no server keeps it."
        for duty in found.duties
        if not duty.held
    ]
    said += [
        f"The loop {loop.name} fell {loop.falls} times; last: {loop.error}."
        for loop in found.loops
        if loop.falls
    ]
    if (machine := found.machine) is not None and _full(machine):
        left = mib(machine.disk_free_mib)
        said.append(f"The disk of the data directory is nearly full: {left} are left.")
    return said


def _full(machine: Machine) -> bool:
    return machine.disk_mib > 0 and machine.disk_free_mib < (1 - FULL) * machine.disk_mib


def _facts(found: Health) -> Sequence[Fact]:
    database = found.database
    up = "unknown" if found.began is None else span(found.at - found.began)
    facts = [
        Fact("Version", found.version, mono=True),
        Fact("Up for", up),
        Fact("Reached at", found.url, mono=True),
        Fact("Database", database.kind),
    ]
    if not database.problem:
        facts += [
            Fact("Small query", f"{database.latency_ms:.1f} ms"),
            Fact("Size", size(database.size_bytes)),
            Fact("Last migration", database.revision, mono=True),
        ]
    facts.append(Fact("Events waiting", str(found.journal_waiting)))
    if found.machine is not None:
        left = f"{mib(found.machine.disk_free_mib)} of {mib(found.machine.disk_mib)} left"
        facts.append(Fact("Disk", left))
    return facts


def _tier(tier: health.Tier) -> TierRow:
    promise = tier.promise
    return TierRow(
        name=tier.isolation.value,
        there=not tier.absent,
        runtime=tier.runtime,
        pause="" if promise is None else KEEPS[promise.pause.value],
        snapshot="" if promise is None else KEEPS[promise.snapshot.value],
        why=tier.absent,
    )
