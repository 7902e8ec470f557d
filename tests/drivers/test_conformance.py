"""Every driver that is shipped passes every check."""

from itertools import count

import pytest

from alcove.drivers.conformance import ALL, Check, Subject
from alcove.drivers.fake import FakeDriver
from alcove.model.workspace import RootMode, WorkspaceId
from tests.host.installation import Installation, a_spec

CHECKS = pytest.mark.parametrize("check", ALL, ids=lambda check: check.__name__)


@CHECKS
async def test_the_fake_driver(check: Check) -> None:
    numbers = count()
    subject = Subject(FakeDriver(), a_spec(), lambda: WorkspaceId(f"ws-{next(numbers):016}"))
    await check(subject)


@pytest.mark.root
@CHECKS
async def test_the_local_driver(installation: Installation, check: Check) -> None:
    spec = a_spec(RootMode.CONTAINED)
    await check(Subject(installation.driver, spec, installation.new_id))
