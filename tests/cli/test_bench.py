"""What `alcove bench` tells, with a server that runs beside the agent."""

import json

import pytest

from tests.cli.conftest import CommandLine

pytestmark = pytest.mark.root


def test_it_measures_as_often_as_asked_and_leaves_nothing(alcove: CommandLine) -> None:
    done = alcove("bench", "-t", "plain", "-n", "2", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {len(figure["ms"]) for figure in told["figures"].values()} == {2}
    assert told["started"] == ["cold"]
    listed = json.loads(alcove("list", "--json").stdout)["items"]
    assert [one for one in listed if one["ephemeral"] and one["desired"] != "deleted"] == []


def test_people_get_a_table(alcove: CommandLine) -> None:
    done = alcove("bench", "-t", "plain", "-n", "1")
    assert b"create to first output" in done.stdout
    assert b"P95" in done.stdout
