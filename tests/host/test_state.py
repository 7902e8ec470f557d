"""The record of a workspace survives whatever happens to the process that keeps it."""

import json
from pathlib import Path

import pytest

from alcove.host.runtime import Process
from alcove.host.state import FILE, NOTE, Records, Stage
from alcove.model.errors import DriverError
from alcove.model.workspace import WorkspaceId

ONE, TWO, THREE = (WorkspaceId(f"ws-abcdefgh2345672{c}") for c in "abc")


def test_a_record_is_read_back_as_it_was_kept(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.open(ONE)
    kept = records.change(
        ONE, stage=Stage.RUNNING, boot="b", process=Process(7, 99), approved=True, image="k"
    )
    assert Records(tmp_path).get(ONE) == kept


def test_slots_are_the_lowest_that_are_free(tmp_path: Path) -> None:
    records = Records(tmp_path)
    assert [records.open(w).slot for w in (ONE, TWO)] == [0, 1]
    records.forget(ONE)
    assert records.open(THREE).slot == 0


def test_no_slot_is_given_twice_after_a_restart(tmp_path: Path) -> None:
    Records(tmp_path).open(ONE)
    assert Records(tmp_path).open(TWO).slot == 1


def test_a_half_written_file_is_ignored(tmp_path: Path) -> None:
    records = Records(tmp_path)
    kept = records.open(ONE)
    (tmp_path / ONE / f"{FILE}.new").write_text("{")
    assert Records(tmp_path).get(ONE) == kept


def test_a_record_of_another_version_is_not_guessed_at(tmp_path: Path) -> None:
    Records(tmp_path).open(ONE)
    path = tmp_path / ONE / FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 99}))
    with pytest.raises(DriverError, match="another version"):
        Records(tmp_path)


def test_a_directory_without_a_record_is_still_listed(tmp_path: Path) -> None:
    (tmp_path / ONE).mkdir()
    assert Records(tmp_path).ids() == {ONE}
    assert Records(tmp_path).get(ONE) is None


def test_a_note_is_read_back_until_the_record_is_changed(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.open(ONE)
    noted = records.note(ONE, stage=Stage.PAUSED)
    assert Records(tmp_path).get(ONE) == noted
    changed = Records(tmp_path).change(ONE, stage=Stage.STOPPED)
    assert Records(tmp_path).get(ONE) == changed


def test_a_note_from_before_a_restart_of_the_machine_counts_for_nothing(tmp_path: Path) -> None:
    records = Records(tmp_path)
    kept = records.open(ONE)
    records.note(ONE, stage=Stage.PAUSED)
    path = tmp_path / ONE / NOTE
    path.write_text(json.dumps({**json.loads(path.read_text()), "kernel": "an earlier one"}))
    assert Records(tmp_path).get(ONE) == kept


def test_a_note_that_did_not_reach_the_disk_whole_is_ignored(tmp_path: Path) -> None:
    records = Records(tmp_path)
    kept = records.open(ONE)
    records.note(ONE, stage=Stage.PAUSED)
    (tmp_path / ONE / NOTE).write_text("")
    assert Records(tmp_path).get(ONE) == kept
