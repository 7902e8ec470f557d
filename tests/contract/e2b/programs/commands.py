"""`sandbox.commands`: processes in the foreground and the background."""

import asyncio

from common import done, failure, until


async def check_output_and_exit_code(sdk):
    sandbox = await sdk.sandbox()
    result = await done(sandbox.commands.run("echo out; echo err >&2"))
    assert (result.stdout, result.stderr, result.exit_code) == ("out\n", "err\n", 0), result


async def check_a_failing_command_raises_with_all_it_said(sdk):
    sandbox = await sdk.sandbox()
    error = await failure(sandbox.commands.run, "echo so far; echo why >&2; exit 3")
    assert type(error).__name__ == "CommandExitException", error
    assert (error.exit_code, error.stdout, error.stderr) == (3, "so far\n", "why\n")


async def check_callbacks_get_output_as_it_comes(sdk):
    sandbox = await sdk.sandbox()
    out, err = [], []
    command = "for i in 1 2 3; do echo $i; echo e$i >&2; sleep 0.5; done"
    await done(sandbox.commands.run(command, on_stdout=out.append, on_stderr=err.append))
    assert ("".join(out), "".join(err)) == ("1\n2\n3\n", "e1\ne2\ne3\n")
    assert len(out) >= 2, "it came all at once"


async def check_text_survives_the_cutting_of_its_bytes(sdk):
    sandbox = await sdk.sandbox()
    if not hasattr(sandbox.commands, "close_stdin"):
        return  # Clients of that time decode each piece by itself.
    command = "printf '\\303'; sleep 0.1; printf '\\244\\n'"
    assert (await done(sandbox.commands.run(command))).stdout == "ä\n"


async def check_environment_of_sandbox_and_command(sdk):
    sandbox = await sdk.sandbox(envs={"ONE": "sandbox", "TWO": "sandbox"})
    result = await done(sandbox.commands.run("echo $ONE $TWO", envs={"TWO": "command"}))
    assert result.stdout == "sandbox command\n"


async def check_working_directory(sdk):
    sandbox = await sdk.sandbox()
    assert (await done(sandbox.commands.run("pwd", cwd="/tmp"))).stdout == "/tmp\n"
    error = await failure(sandbox.commands.run, "pwd", cwd="/no/such/place")
    assert isinstance(error, sdk.e2b.InvalidArgumentException), repr(error)


async def check_user(sdk):
    sandbox = await sdk.sandbox()
    own = (await done(sandbox.commands.run("id -un"))).stdout
    assert (await done(sandbox.commands.run("id -un", user=own.strip()))).stdout == own
    # E2B's own name for the ordinary user, which few images have.
    assert (await done(sandbox.commands.run("id -un", user="user"))).stdout == own
    await failure(sandbox.commands.run, "id", user="no-such-user")


async def check_a_timeout_ends_the_command(sdk):
    sandbox = await sdk.sandbox()
    error = await failure(sandbox.commands.run, "sleep 61", timeout=0.5)
    assert isinstance(error, sdk.e2b.TimeoutException), repr(error)

    async def gone():
        found = await done(sandbox.commands.run("pgrep -xa sleep || true"))
        return "sleep 61" not in found.stdout

    await until(gone)


async def check_background_wait(sdk):
    sandbox = await sdk.sandbox()
    handle = await done(sandbox.commands.run("sleep 0.2; echo done; exit 4", background=True))
    assert handle.pid > 0
    error = await failure(handle.wait)
    assert (error.exit_code, error.stdout) == (4, "done\n")


async def check_list_shows_what_runs(sdk):
    sandbox = await sdk.sandbox()
    handle = await done(
        sandbox.commands.run("sleep 30", background=True, envs={"A": "b"}, cwd="/tmp")
    )
    found = {one.pid: one for one in await done(sandbox.commands.list())}
    one = found[handle.pid]
    assert (one.cmd, one.args[-1]) == ("/bin/bash", "sleep 30")
    assert (one.envs["A"], one.cwd) == ("b", "/tmp")
    assert await done(handle.kill())


async def check_kill(sdk):
    sandbox = await sdk.sandbox()
    handle = await done(sandbox.commands.run("sleep 30", background=True))
    assert await done(sandbox.commands.kill(handle.pid)) is True
    error = await failure(handle.wait)
    assert type(error).__name__ == "CommandExitException"
    assert await done(sandbox.commands.kill(handle.pid)) is False


async def check_stdin(sdk):
    sandbox = await sdk.sandbox()
    command = "read line; echo got $line"
    handle = await done(sandbox.commands.run(command, background=True, stdin=True))
    await done(sandbox.commands.send_stdin(handle.pid, "some words\n"))
    assert (await done(handle.wait())).stdout == "got some words\n"


async def check_the_end_of_stdin(sdk):
    sandbox = await sdk.sandbox()
    if not hasattr(sandbox.commands, "close_stdin"):
        return
    handle = await done(sandbox.commands.run("cat; echo end", background=True, stdin=True))
    await done(sandbox.commands.send_stdin(handle.pid, "a\n"))
    await done(sandbox.commands.close_stdin(handle.pid))
    assert (await done(handle.wait())).stdout == "a\nend\n"


async def check_a_stream_of_stdin(sdk):
    sandbox = await sdk.sandbox()
    if not hasattr(sandbox.commands, "stream_input"):
        return
    handle = await done(sandbox.commands.run("cat | wc -c", background=True, stdin=True))

    pieces = [b"x" * 10_000] * 20
    if sdk.asynchronous:
        async with sandbox.commands.stream_input(handle.pid) as stream:
            for piece in pieces:
                await stream.send(piece)
    else:
        sandbox.commands.stream_input(handle.pid, pieces)
    await done(sandbox.commands.close_stdin(handle.pid))
    assert (await done(handle.wait())).stdout.strip() == "200000"


async def check_another_client_connects_to_what_runs(sdk):
    sandbox = await sdk.sandbox()
    handle = await done(sandbox.commands.run("read go; echo late", background=True, stdin=True))
    await done(handle.disconnect())
    other = await done(sdk.Sandbox.connect(sandbox.sandbox_id))
    again = await done(other.commands.connect(handle.pid))
    await done(other.commands.send_stdin(handle.pid, "\n"))
    assert (await done(again.wait())).stdout == "late\n"


async def check_a_process_outlives_the_client_that_left(sdk):
    sandbox = await sdk.sandbox()
    handle = await done(sandbox.commands.run("sleep 30", background=True))
    await done(handle.disconnect())
    await asyncio.sleep(0.3)
    assert handle.pid in [one.pid for one in await done(sandbox.commands.list())]


async def check_a_command_that_is_not_there(sdk):
    sandbox = await sdk.sandbox()
    error = await failure(sandbox.commands.run, "no-such-command-anywhere")
    assert error.exit_code == 127, error
    error = await failure(sandbox.commands.connect, 999_999)
    assert isinstance(error, sdk.e2b.NotFoundException), repr(error)


async def check_much_output_arrives_whole(sdk):
    sandbox = await sdk.sandbox()
    result = await done(sandbox.commands.run("seq 1 200000"))
    assert result.stdout.count("\n") == 200_000
    assert result.stdout.endswith("\n200000\n")


async def check_many_at_once(sdk):
    sandbox = await sdk.sandbox()
    handles = [
        await done(sandbox.commands.run(f"sleep 0.2; echo {n}", background=True))
        for n in range(20)
    ]
    said = [(await done(handle.wait())).stdout for handle in handles]
    assert said == [f"{n}\n" for n in range(20)]


async def check_the_sandbox_ends_under_a_running_command(sdk):
    sandbox = await sdk.sandbox()
    handle = await done(sandbox.commands.run("sleep 30", background=True))
    await done(sdk.Sandbox.kill(sandbox.sandbox_id))
    error = await failure(handle.wait)
    assert isinstance(error, sdk.e2b.TimeoutException), repr(error)
    error = await failure(sandbox.commands.run, "true")
    assert isinstance(error, sdk.e2b.TimeoutException), repr(error)
