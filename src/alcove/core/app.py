"""The object graph that every verb is given. Built once, by the composition root."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from alcove.clock import Clock, system_clock
from alcove.config import Settings
from alcove.core.agent import Agents
from alcove.core.bus import EVENTS, RECONCILE, Bus
from alcove.core.catalog import Catalog
from alcove.core.condition import Condition
from alcove.core.doors import Doors
from alcove.core.gate import Gate
from alcove.core.journal import Journal
from alcove.core.live import Live
from alcove.core.metrics import Metrics
from alcove.core.news import News
from alcove.core.recorder import Recorders
from alcove.core.running import Running
from alcove.core.usage_history import UsageHistory
from alcove.drivers.base import Capabilities, Driver, Usage
from alcove.model.workspace import WorkspaceId
from alcove.store.db import Database

CAPABILITIES_FOR: Final = timedelta(seconds=30)


@dataclass(slots=True)
class Offers:
    """The last answer of the driver about its capabilities."""

    answer: Capabilities | None = None
    until: datetime | None = None

    async def get(self, driver: Driver, now: datetime) -> Capabilities:
        if self.answer is None or self.until is None or now >= self.until:
            self.answer = await driver.capabilities()
            self.until = now + CAPABILITIES_FOR
        return self.answer


@dataclass(frozen=True, slots=True)
class Core:
    """What verbs, the reconciler and the timers share. No verb keeps state of its own."""

    db: Database
    driver: Driver
    clock: Clock
    settings: Settings
    bus: Bus
    agents: Agents
    secret: bytes
    metrics: Metrics = field(default_factory=Metrics)
    journal: Journal = field(default_factory=Journal)
    offers: Offers = field(default_factory=Offers)
    running: Running = field(default_factory=Running)
    usages: dict[WorkspaceId, Usage] = field(default_factory=dict[WorkspaceId, Usage])
    """The last sample of what each used, on the server that keeps the timers."""
    usage_history: UsageHistory = field(default_factory=UsageHistory)
    live: Live = field(default_factory=Live)
    news: News = field(default_factory=News)
    gate: Gate = field(default_factory=Gate)
    catalog: Catalog = field(default_factory=Catalog)
    doors: Doors = field(default_factory=Doors)
    recorders: Recorders = field(default_factory=Recorders)
    condition: Condition = field(default_factory=Condition)

    @classmethod
    def build(
        cls,
        *,
        settings: Settings,
        driver: Driver,
        secret: bytes,
        db: Database | None = None,
        clock: Clock = system_clock,
    ) -> "Core":
        """Wire the parts together. Nothing is opened or started yet."""
        bus = Bus()
        db = db if db is not None else Database(settings.database)
        db.on_events = lambda: bus.wake(EVENTS)
        agents = Agents(driver, secret=secret)
        agents.on_lost = lambda: bus.wake(RECONCILE)
        return cls(
            db=db,
            driver=driver,
            clock=clock,
            settings=settings,
            bus=bus,
            agents=agents,
            secret=secret,
            condition=Condition(began=clock()),
        )

    async def capabilities(self) -> Capabilities:
        """What the driver can do here; asked again now and then, since hosts change."""
        return await self.offers.get(self.driver, self.clock())

    async def aclose(self) -> None:
        """Close connections. Call it after the tasks of the core have ended."""
        await self.journal.close(self)
        await self.agents.aclose()
        await self.db.aclose()
