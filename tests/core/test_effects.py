"""How long each step may take."""

from dataclasses import replace

import pytest

from alcove.core.effects import timeout_s
from alcove.drivers.local import SNAPSHOT_TIMEOUT_S, VERB_TIMEOUT_S
from alcove.model.lifecycle import Effect
from alcove.model.workspace import SnapshotId
from tests.model.test_lifecycle import WORKSPACE

FROM_SNAPSHOT = replace(WORKSPACE, spec=replace(WORKSPACE.spec, snapshot=SnapshotId("snap-1")))


@pytest.mark.parametrize("effect", [Effect.PAUSE, Effect.RESUME])
def test_a_step_that_moves_memory_waits_until_the_driver_has_given_up(effect: Effect) -> None:
    assert timeout_s(effect, WORKSPACE) > VERB_TIMEOUT_S


@pytest.mark.parametrize("effect", [Effect.CREATE, Effect.START])
def test_a_beginning_from_a_snapshot_may_take_as_long_as_copying_one(effect: Effect) -> None:
    assert timeout_s(effect, FROM_SNAPSHOT) > SNAPSHOT_TIMEOUT_S
    assert timeout_s(effect, WORKSPACE) < VERB_TIMEOUT_S
