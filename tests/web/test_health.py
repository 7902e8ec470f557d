"""The server's page, and what on it asks for a look."""

from dataclasses import replace

import pytest

from alcove.core import health
from alcove.core.condition import LoopState, Trouble
from alcove.core.machine import Machine
from alcove.web.server_health import problems_of
from tests.api.served import ROOT, Served
from tests.conftest import T0
from tests.web.operators import HOSTILE, browser, is_safe


async def test_it_says_version_tiers_and_settings(api: Served) -> None:
    page = (await (await browser(api, "max")).get("/server")).text
    for words in ("sqlite", "no sandboxed kernel", "sudo alcove doctor", "isolation_min"):
        assert words in page


async def test_no_line_of_the_log_is_markup(api: Served) -> None:
    api.core.condition.note(Trouble(T0, "error", "alcove", HOSTILE))
    page = (await (await browser(api, "max")).get("/server")).text
    assert "alert(1)" in page
    assert is_safe(page)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"loops": [LoopState("timers", T0, 2, "KeyError: 'x'")]}, "fell 2 times"),
        ({"duties": [health.DutyState("pools", False, T0, False)]}, "Nobody has the duty pools"),
        (
            {"database": health.DatabaseHealth("sqlite", 0, 0, "", "the disk is full")},
            "cannot be asked: the disk is full",
        ),
        (
            {"driver": health.DriverHealth("local", (), (), "no answer")},
            "The driver local does not answer",
        ),
        ({"machine": Machine(2000, 0.1, 1, 1, 1000, 50)}, "nearly full: 50 MiB are left"),
        ({"machine": Machine(2000, 0.1, 1, 1, 1000, 500)}, ""),
    ],
)
async def test_what_asks_for_a_look_is_a_sentence(
    api: Served, change: dict[str, object], said: str
) -> None:
    found = replace(await health.examine(api.core, ROOT), machine=None, duties=())
    problems = problems_of(replace(found, **change))  # pyright: ignore[reportArgumentType]
    assert said in " ".join(problems)
    assert bool(problems) is bool(said)
