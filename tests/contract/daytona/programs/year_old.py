"""What a client of a year before sends and reads."""

import asyncio

from both import MODE, do, every, run
from daytona import CreateSandboxFromSnapshotParams, FileUpload, SessionExecuteRequest


async def main(daytona):
    sandbox = await do(
        daytona.create(CreateSandboxFromSnapshotParams(snapshot="plain", labels={"a": "b"}))
    )
    assert sandbox.state.value == "started"
    found = await do(daytona.list({"a": "b"}))
    assert found.total == 1 and [one.id for one in await every(found.items)] == [sandbox.id]
    ran = await do(sandbox.process.exec("echo $A", env={"A": "xy"}))
    assert (ran.exit_code, ran.result.strip()) == (0, "xy"), ran
    ran = await do(sandbox.process.code_run("print(6 * 7)"))
    assert ran.result.strip() == "42", ran
    home = await do(sandbox.get_work_dir())
    await do(sandbox.fs.upload_files([FileUpload(source=b"old", destination=f"{home}/f")]))
    assert await do(sandbox.fs.download_file(f"{home}/f")) == b"old"
    assert [one.name for one in await do(sandbox.fs.list_files(home))] == ["f"]

    name = f"old-{MODE}"
    await do(sandbox.process.create_session(name))
    ran = await do(
        sandbox.process.execute_session_command(
            name, SessionExecuteRequest(command="echo o; echo e >&2")
        )
    )
    assert (ran.exit_code, ran.stdout, ran.stderr) == (0, "o\n", "e\n"), ran
    logs = await do(sandbox.process.get_session_command_logs(name, ran.cmd_id))
    assert (logs.stdout, logs.stderr) == ("o\n", "e\n"), logs
    out = []
    await sandbox.process.get_session_command_logs_async(name, ran.cmd_id, out.append, out.append)
    assert sorted("".join(out).split()) == ["e", "o"], out
    await do(sandbox.process.delete_session(name))

    repo = f"{home}/repo"
    await do(sandbox.process.exec(f"git init -q -b main {repo}"))
    await do(sandbox.fs.upload_file(b"x", f"{repo}/x"))
    await do(sandbox.git.add(repo, ["x"]))
    made = await do(sandbox.git.commit(repo, "First", "A", "a@example.com"))
    assert len(made.sha) == 40

    if MODE == "async":
        seen = bytearray()
        handle = await sandbox.process.create_pty_session("p", seen.extend)
        await handle.send_input("exit 4\n")
        ended = await asyncio.wait_for(handle.wait(), 20)
        assert ended.exit_code == 4, ended
    await do(sandbox.stop())
    await do(sandbox.start())
    await do(sandbox.delete())


run(main)
