"""Each tool over HTTP, against a real agent, as a client of the protocol sees it."""

import pytest

from tests.contract.mcp.conftest import MODES, Place, text_of

pytestmark = pytest.mark.root


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_of_either_era_lists_the_tools_and_runs_a_command(
    place: Place, mode: str
) -> None:
    async with place.client(mode=mode) as client:
        tools = (await client.list_tools()).tools
        asked = {"sandbox": "box", "command": "echo out; echo err >&2; exit 3"}
        result = await client.call_tool("run_command", asked)
    assert {"create_sandbox", "run_command", "edit_file"} <= {tool.name for tool in tools}
    assert not result.is_error
    assert result.structured_content["stdout"] == "out\n"
    assert result.structured_content["stderr"] == "err\n"
    assert result.structured_content["exit_code"] == 3
    assert "exit code 3" in text_of(result)
