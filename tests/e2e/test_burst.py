"""Many sandboxes at once: each does its work and answers, and nothing of them stays."""

import textwrap

import anyio
import pytest

from alcove import AsyncAlcove
from demo import leftovers
from demo.instance import Instance

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(900)]

BURST = 200
SUITE = textwrap.dedent(
    """
    import os, unittest

    class OfThisSandbox(unittest.TestCase):
        def test_its_number(self):
            self.assertEqual(int(os.environ["NUMBER"]) % 7, int(os.environ["REST"]))

        def test_it_is_alone(self):
            self.assertEqual(os.listdir(os.path.expanduser("~/work")), ["test_it.py"])

    unittest.main(verbosity=2)
    """
)


async def test_two_hundred_at_once_each_run_a_test_file(installation: Instance) -> None:
    ids: dict[int, str] = {}
    said: dict[int, str] = {}

    async def one(number: int) -> None:
        sandbox = await client.workspaces.create(
            template="ai-agent-sandbox",
            ttl="30m",
            env={"NUMBER": str(number), "REST": str(number % 7)},
            timeout_s=600,
        )
        ids[number] = sandbox.id
        await sandbox.files.write("work/test_it.py", SUITE)
        done = await sandbox.exec(["python3", "work/test_it.py"], timeout="5m")
        said[number] = done.stderr if done.ok else f"{done.exit_code}: {done.stderr}"
        await sandbox.delete(wait=True, timeout_s=600)

    async with (
        AsyncAlcove(installation.url, installation.token) as client,
        anyio.create_task_group() as group,
    ):
        for number in range(BURST):
            group.start_soon(one, number)
    assert len(set(ids.values())) == BURST
    assert [said[n] for n in range(BURST) if "\nOK" not in said[n]] == []
    assert leftovers.of_workspaces(installation, list(ids.values())) == []
