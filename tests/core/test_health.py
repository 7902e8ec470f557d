"""What a server says of itself to whoever runs it, and that it gives nothing away."""

import logging

import pytest
import structlog

from alcove.config import Settings
from alcove.core import health
from alcove.core.condition import TROUBLES_MAX, Condition, Listener
from alcove.core.machine import read_meminfo
from alcove.core.timers import Timers
from alcove.model.access import Actor, Role
from alcove.model.errors import Denied, DriverError
from alcove.model.workspace import Isolation, UserId
from tests.conftest import T0
from tests.core.world import ADA, ROOT, World

EVE = Actor(id=UserId("u-eve"), name="eve", role=Role.AUDITOR)


def value(settings: Settings, name: str) -> str:
    [found] = [one.value for one in health.shown(settings) if one.name == name]
    return found


async def test_the_database_says_its_kind_size_and_migration(world: World) -> None:
    found = (await health.examine(world.core, ROOT)).database
    assert found.kind in {"sqlite", "postgresql"}
    assert found.size_bytes > 0
    assert found.revision >= "0003"
    assert found.problem == ""


async def test_each_tier_is_there_or_says_why_not(world: World) -> None:
    tiers = {t.isolation: t for t in (await health.examine(world.core, ROOT)).driver.tiers}
    assert tiers[Isolation.CONTAINER].absent == ""
    assert "no sandboxed kernel" in tiers[Isolation.GVISOR].absent


async def test_a_driver_out_of_reach_is_told_and_the_rest_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> None:
        raise DriverError("the host process does not answer", retry=True)

    monkeypatch.setattr(world.driver, "capabilities", away)
    found = await health.examine(world.core, ROOT)
    assert found.driver.problem == "the host process does not answer"
    assert found.database.problem == ""


async def test_a_duty_says_whether_it_is_held_here(world: World) -> None:
    await Timers(world.core).tick()
    [timers] = (await health.examine(world.core, ROOT)).duties
    assert (timers.name, timers.here, timers.held) == ("timers", True, True)
    Timers(world.core)
    [timers] = (await health.examine(world.core, ROOT)).duties
    assert (timers.here, timers.held) == (False, True)
    world.clock.move(minutes=5)
    [timers] = (await health.examine(world.core, ROOT)).duties
    assert not timers.held


@pytest.mark.parametrize("actor", [ADA, EVE])
async def test_only_who_operates_the_server_looks(world: World, actor: Actor) -> None:
    with pytest.raises(Denied):
        await health.examine(world.core, actor)


def test_settings_are_shown_without_what_opens_doors() -> None:
    settings = Settings(
        database_url="postgresql://alcove:hunter2@db/alcove?password=hunter2&sslmode=require",
        https_proxy="http://proxy:hunter2@proxy.example:3128",
        cpu_max=3,
    )
    said = " ".join(one.value for one in health.shown(settings))
    assert "hunter2" not in said
    assert value(settings, "database_url") == "postgresql://…@db/alcove?password=…&sslmode=require"
    assert value(settings, "https_proxy") == "http://…@proxy.example:3128"
    assert [one.name for one in health.shown(settings) if one.changed] == [
        "database_url",
        "cpu_max",
        "https_proxy",
    ]


def test_a_list_is_shown_as_one() -> None:
    assert value(Settings(trusted_networks=("10.0.0.0/8", "::1")), "trusted_networks") == (
        "10.0.0.0/8, ::1"
    )


def test_a_loop_counts_its_falls() -> None:
    condition = Condition()
    condition.begun("timers", T0)
    condition.fell("timers", "KeyError: 'x'")
    condition.begun("timers", T0)
    assert (condition.loops["timers"].falls, condition.loops["timers"].error) == (
        1,
        "KeyError: 'x'",
    )


@pytest.fixture
def heard() -> Condition:
    return Condition()


@pytest.fixture
def log(heard: Condition) -> logging.Logger:
    logger = logging.Logger("alcove.test")
    logger.addHandler(Listener(heard.note))
    return logger


def test_warnings_are_remembered_newest_first(log: logging.Logger, heard: Condition) -> None:
    log.info("nothing")
    log.warning("disk %s", "full")
    log.error("worse")
    assert [(t.level, t.text) for t in heard.troubles] == [
        ("error", "worse"),
        ("warning", "disk full"),
    ]


def test_an_error_says_its_exception(log: logging.Logger, heard: Condition) -> None:
    log.error("bug", exc_info=ValueError("of seven"))
    assert heard.troubles[0].text == "bug: ValueError: of seven"


def test_a_structured_line_is_a_sentence(log: logging.Logger, heard: Condition) -> None:
    bound = structlog.wrap_logger(
        log,
        processors=[structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    bound.warning("fell", loop="timers")
    assert heard.troubles[0].text == "fell loop=timers"


def test_troubles_and_their_words_are_bounded(log: logging.Logger, heard: Condition) -> None:
    for number in range(TROUBLES_MAX + 5):
        log.warning("%d %s", number, "x" * 5000)
    assert len(heard.troubles) == TROUBLES_MAX
    assert len(heard.troubles[0].text) == 500
    assert heard.troubles[-1].text.startswith("5 ")


def test_meminfo_is_read_in_mebibytes() -> None:
    text = "MemTotal:        2097152 kB\nHugePages_Total:       0\nnonsense\n"
    assert read_meminfo(text) == {"MemTotal": 2048}
