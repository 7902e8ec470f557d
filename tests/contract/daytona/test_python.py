"""The official Python clients, each program with the synchronous and the asynchronous one."""

import pytest

from tests.contract.daytona.conftest import Place

MODES = ("sync", "async")
pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "program", ["lifecycle", "refused", "process", "pty", "files", "git", "kept"]
)
async def test_the_newest_client_works_unmodified(place: Place, program: str, mode: str) -> None:
    await place.python(program, mode)


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_of_a_year_before_works_unmodified(place: Place, mode: str) -> None:
    await place.python("year_old", mode, client="year-old")
