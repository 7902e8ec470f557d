import asyncio

from both import MODE, do, raises, run
from daytona import CodeRunParams, DaytonaTimeoutError, SessionExecuteRequest


async def main(daytona):
    sandbox = await do(daytona.create())
    process = sandbox.process
    ran = await do(
        process.exec("echo out; echo err >&2; echo $A; pwd; exit 3", cwd="/", env={"A": "é"})
    )
    assert ran.exit_code == 3 and ran.result == "out\nerr\né\n/\n", ran
    with raises(408, code="PROCESS_EXECUTION_TIMEOUT") as raised:
        await do(process.exec("sleep 30", timeout=1))
    assert isinstance(raised[0], DaytonaTimeoutError)
    with raises(400):
        await do(process.exec("true", cwd="/nowhere"))

    code = "import os, sys\nprint(sys.argv[1:], os.environ['B'])\nprint('bad', file=sys.stderr)"
    ran = await do(process.code_run(code, CodeRunParams(argv=["x y"], env={"B": "b"})))
    assert ran.exit_code == 0 and ran.result == "['x y'] b\nbad\n", ran
    assert ran.artifacts.charts == []
    assert (await do(process.code_run("raise SystemExit(4)"))).exit_code == 4

    name = f"s-{MODE}"
    await do(process.create_session(name))
    with raises(409):
        await do(process.create_session(name))
    first = await do(
        process.execute_session_command(
            name, SessionExecuteRequest(command="cd /tmp && export X=1\necho 'a\n b'; echo e >&2")
        )
    )
    assert (first.exit_code, first.stdout, first.stderr) == (0, "a\n b\n", "e\n"), first
    second = await do(
        process.execute_session_command(
            name, SessionExecuteRequest(command="echo $PWD $X; (exit 7)")
        )
    )
    assert (second.exit_code, second.stdout) == (7, "/tmp 1\n"), second
    wrong = await do(process.execute_session_command(name, SessionExecuteRequest(command="if fi")))
    assert wrong.exit_code and "syntax" in wrong.stderr, wrong

    slow = await do(
        process.execute_session_command(
            name,
            SessionExecuteRequest(
                command="echo begun; echo no >&2; read line; echo got $line", run_async=True
            ),
        )
    )
    assert slow.exit_code is None
    out, err = [], []
    following = asyncio.create_task(
        process.get_session_command_logs_async(name, slow.cmd_id, out.append, err.append)
    )
    while "begun" not in "".join(out):
        await asyncio.sleep(0.01)
    assert (await do(process.get_session_command(name, slow.cmd_id))).exit_code is None
    await do(process.send_session_command_input(name, slow.cmd_id, "this\n"))
    await following
    assert "".join(out) == "begun\ngot this\n" and "".join(err) == "no\n", (out, err)
    assert (await do(process.get_session_command(name, slow.cmd_id))).exit_code == 0
    logs = await do(process.get_session_command_logs(name, slow.cmd_id))
    assert (logs.stdout, logs.stderr) == ("begun\ngot this\n", "no\n"), logs
    with raises(410, code="COMMAND_ALREADY_COMPLETED"):
        await do(process.send_session_command_input(name, slow.cmd_id, "more\n"))
    again = []
    await process.get_session_command_logs_async(name, slow.cmd_id, again.append, again.append)
    assert sorted("".join(again).split()) == ["begun", "got", "no", "this"]

    session = await do(process.get_session(name))
    assert [c.exit_code for c in session.commands][:2] == [0, 7], session
    assert session.commands[1].command == "echo $PWD $X; (exit 7)"
    assert [s.session_id for s in await do(process.list_sessions())] == [name]
    with raises(404):
        await do(process.get_session_command(name, "0" * 24))
    await do(process.delete_session(name))
    assert await do(process.list_sessions()) == []
    with raises(404):
        await do(process.get_session(name))

    ending = f"e-{MODE}"
    await do(process.create_session(ending))
    ended = await do(
        process.execute_session_command(ending, SessionExecuteRequest(command="echo x; exit 5"))
    )
    assert (ended.exit_code, ended.stdout) == (5, "x\n"), ended
    with raises(404):
        await do(process.get_session(ending))

    assert (await do(process.get_entrypoint_session())).commands == []
    assert (await do(process.get_entrypoint_logs())).output == ""
    await do(sandbox.delete())


run(main)
