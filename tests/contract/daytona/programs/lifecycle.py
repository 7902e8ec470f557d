import os

from both import do, every, raises, run
from daytona import (
    CreateSandboxFromImageParams,
    CreateSandboxFromSnapshotParams,
    DaytonaNotFoundError,
    ListSandboxesQuery,
    Resources,
    SandboxState,
)


async def main(daytona):
    sandbox = await do(daytona.create())
    assert sandbox.state == SandboxState.STARTED, sandbox.state
    assert sandbox.snapshot == "plain" and sandbox.target == "local"
    assert sandbox.labels["code-toolbox-language"] == "python"

    other = await do(
        daytona.create(
            CreateSandboxFromSnapshotParams(
                name="other",
                snapshot="plain",
                language="javascript",
                env_vars={"GREETING": "hallo"},
                labels={"team": "core"},
                auto_stop_interval=25,
                ttl_minutes=90,
                network_block_all=True,
                os_user=os.environ.get("SANDBOX_USER", "root"),
            )
        )
    )
    assert other.name == "other" and other.env["GREETING"] == "hallo"
    assert other.auto_stop_interval == 25, other.auto_stop_interval
    assert other.network_block_all is True and other.auto_destroy_at
    assert (await do(other.process.exec("echo $GREETING"))).result == "hallo\n"

    sized = await do(
        daytona.create(
            CreateSandboxFromImageParams(
                image="alcove/plain", resources=Resources(cpu=1, memory=2, disk=3)
            )
        )
    )
    assert (sized.cpu, sized.memory, sized.disk) == (1, 2, 3)

    found = await every(daytona.list(ListSandboxesQuery(labels={"team": "core"})))
    assert [one.id for one in found] == [other.id]
    assert {one.id for one in await every(daytona.list(ListSandboxesQuery(limit=1)))} == {
        sandbox.id,
        other.id,
        sized.id,
    }
    started = await every(daytona.list(ListSandboxesQuery(states=[SandboxState.STOPPED])))
    assert started == []
    with raises(501):
        await every(daytona.list(ListSandboxesQuery(min_cpu=1)))

    assert (await do(daytona.get(sandbox.id))).id == sandbox.id
    assert (await do(daytona.get("other"))).id == other.id
    labels = await do(other.set_labels({"team": "edge"}))
    assert labels == {"team": "edge"}

    await do(other.set_autostop_interval(0))
    await do(other.refresh_data())
    assert other.auto_stop_interval == 0, other.auto_stop_interval
    await do(other.set_auto_pause_interval(10))
    await do(other.refresh_data())
    assert (other.auto_pause_interval, other.auto_stop_interval) == (10, 0)
    await do(other.set_ttl(30))
    await do(other.refresh_activity())
    with raises(501):
        await do(other.set_auto_archive_interval(60))
    with raises(501):
        await do(other.set_auto_delete_interval(60))
    await do(other.set_auto_delete_interval(-1))

    await do(sandbox.stop())
    assert sandbox.state == SandboxState.STOPPED
    with raises(409):
        await do(sandbox.process.exec("true"))
    await do(sandbox.start())
    assert sandbox.state == SandboxState.STARTED
    await do(sandbox.pause())
    assert sandbox.state == SandboxState.PAUSED, sandbox.state
    await do(sandbox.start())
    assert sandbox.state == SandboxState.STARTED

    await do(sandbox.resize(Resources(cpu=3)))
    assert sandbox.cpu == 3, sandbox.cpu

    await do(daytona.delete(sandbox))
    await do(sized.delete(wait=True))
    try:
        await do(daytona.get(sized.id))
    except DaytonaNotFoundError:
        pass
    else:
        raise AssertionError("it is still there")
    await do(other.delete())


run(main)
