"""The official JavaScript client, with Node.js."""

import pytest

from tests.contract.daytona.conftest import Place


@pytest.mark.timeout(600)
async def test_the_javascript_client_works_unmodified(place: Place) -> None:
    await place.node("work")
