"""What a client may be connected to: the workspace itself, however it is written."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcove.core.forwards import PATH_MAX, check_path, own_host
from alcove.model.errors import Invalid
from alcove.model.workspace import Workspace
from tests.core.world import World


@pytest.fixture
async def workspace(world: World) -> Workspace:
    made = await world.create(name="api")
    return replace(made, spec=replace(made.spec, hostname="api-host"))


OWN = {
    "localhost": "",
    "LOCALHOST.": "",
    "127.0.0.1": "",
    "127.8.9.10": "127.8.9.10",
    "::1": "::1",
    "[::1]": "::1",
    "0:0:0:0:0:0:0:1": "::1",
    "::ffff:127.0.0.1": "",
    "api": "",
    "api-host": "",
}
OTHERS = (
    "",
    "0.0.0.0",
    "::",
    "10.0.0.1",
    "169.254.169.254",
    "::ffff:10.0.0.1",
    "fe80::1",
    "::1%eth0",
    "2130706433",
    "0x7f.1",
    "127.1",
    "0177.0.0.1",
    "localhost.example.com",
    "other",
    "api.ada",
    "api\0",
    "127.0.0.1\n",
)


async def test_hosts_that_are_the_workspace_itself(workspace: Workspace) -> None:
    assert {host: own_host(workspace, host) for host in OWN} == OWN


async def test_hosts_that_are_not(workspace: Workspace) -> None:
    assert [host for host in OTHERS if own_host(workspace, host) is not None] == []


@pytest.mark.parametrize(
    "path", ["", "relative", "@abstract", "\0abstract", "/a\0b", "/a\nb", "/" + "x" * PATH_MAX]
)
def test_paths_that_are_none_of_a_socket(path: str) -> None:
    with pytest.raises(Invalid):
        check_path(path)


@given(st.text(max_size=200))
def test_a_path_that_is_taken_is_absolute_short_and_printable(path: str) -> None:
    try:
        check_path(path)
    except Invalid:
        return
    assert path.startswith("/")
    assert len(path.encode()) <= PATH_MAX
    assert path.isprintable()
