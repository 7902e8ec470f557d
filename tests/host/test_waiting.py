"""A workspace whose image is not there yet waits without keeping anybody waiting."""

from collections.abc import AsyncGenerator

import pytest

from alcove.model.errors import DriverError
from alcove.model.workspace import Handle, Observed, WorkspaceId
from tests.host.installation import Installation, a_spec

pytestmark = pytest.mark.root


@pytest.fixture
async def waiting(installation: Installation) -> AsyncGenerator[tuple[WorkspaceId, Handle]]:
    installation.hold_images("building")
    box = installation.new_id()
    key = installation.control_key(box)
    yield box, await installation.driver.create(box, a_spec(), control_key=key)
    installation.hold_images("ready")
    await installation.driver.destroy(box, None)


async def test_it_is_being_created_with_the_progress(
    installation: Installation, waiting: tuple[WorkspaceId, Handle]
) -> None:
    seen = await installation.driver.observe(waiting[0], None)
    assert (seen.state, seen.detail) == (Observed.CREATING, "image: unpacking 34 %")
    assert seen.handle == waiting[1]


async def test_a_start_goes_on_when_the_image_is_ready(
    installation: Installation, waiting: tuple[WorkspaceId, Handle]
) -> None:
    installation.hold_images("ready")
    seen = await installation.driver.observe(waiting[0], None)
    assert seen.state is Observed.EXITED
    key = installation.control_key(waiting[0])
    await installation.driver.start(*waiting, a_spec(), control_key=key)
    assert (await installation.driver.observe(waiting[0], None)).state is Observed.READY


async def test_it_can_be_stopped(
    installation: Installation, waiting: tuple[WorkspaceId, Handle]
) -> None:
    await installation.driver.stop(*waiting, grace_s=1)
    assert (await installation.driver.observe(waiting[0], None)).state is Observed.EXITED


async def test_it_can_be_destroyed(
    installation: Installation, waiting: tuple[WorkspaceId, Handle]
) -> None:
    assert (await installation.driver.destroy(waiting[0], None)).left == ()
    assert (await installation.driver.observe(waiting[0], None)).state is Observed.ABSENT


async def test_an_image_that_failed_is_a_failure_with_its_reason(
    installation: Installation,
) -> None:
    installation.hold_images("failed")
    box = installation.new_id()
    with pytest.raises(DriverError, match="could not be made: unpacking 34 %"):
        await installation.create(a_spec(), box)
    installation.hold_images("ready")
    assert (await installation.driver.observe(box, None)).state is Observed.ABSENT


async def test_a_waiting_one_says_why_its_image_cannot_be_had(
    installation: Installation, waiting: tuple[WorkspaceId, Handle]
) -> None:
    installation.hold_images("failed")
    seen = await installation.driver.observe(waiting[0], None)
    assert seen.state is Observed.EXITED
    assert seen.detail == "its image could not be made: unpacking 34 %"
