"""`sandbox.pty`: terminals."""

import asyncio

from common import done, failure, until


class Terminal:
    """A terminal and what it said, for both kinds of client."""

    def __init__(self, sdk, sandbox):
        self.sdk, self.sandbox, self.said = sdk, sandbox, b""

    async def open(self, **asked):
        from e2b import PtySize

        size = PtySize(rows=24, cols=80)
        if self.sdk.asynchronous:
            self.handle = await self.sandbox.pty.create(size=size, on_data=self.take, **asked)
        else:
            self.handle = self.sandbox.pty.create(size=size, **asked)
        return self

    def take(self, data):
        self.said += data

    async def type(self, line):
        await done(self.sandbox.pty.send_stdin(self.handle.pid, line.encode() + b"\n"))

    async def end(self):
        """Reads to the end, which the shell must have been told to come to."""
        if self.sdk.asynchronous:
            return await self.handle.wait()
        return await asyncio.to_thread(self.handle.wait, on_pty=self.take)


async def check_a_shell_in_a_terminal(sdk):
    terminal = await Terminal(sdk, await sdk.sandbox()).open(envs={"MARK": "seen"}, cwd="/tmp")
    await terminal.type("tty; stty size; echo $MARK-$PWD; exit")
    await terminal.end()
    said = terminal.said.decode()
    assert all(part in said for part in ("/dev/pts/", "24 80", "seen-/tmp")), said


async def check_resize(sdk):
    from e2b import PtySize

    terminal = await Terminal(sdk, await sdk.sandbox()).open()
    await done(terminal.sandbox.pty.resize(terminal.handle.pid, PtySize(rows=50, cols=132)))
    await terminal.type("stty size; exit")
    await terminal.end()
    assert "50 132" in terminal.said.decode()


async def check_kill(sdk):
    terminal = await Terminal(sdk, await sdk.sandbox()).open()
    pid = terminal.handle.pid
    assert await done(terminal.sandbox.pty.kill(pid)) is True
    error = await failure(terminal.end)
    assert type(error).__name__ == "CommandExitException", repr(error)
    assert await done(terminal.sandbox.pty.kill(pid)) is False


async def check_a_terminal_is_listed_and_can_be_connected_to(sdk):
    terminal = await Terminal(sdk, await sdk.sandbox()).open()
    pid, sandbox = terminal.handle.pid, terminal.sandbox
    assert pid in [one.pid for one in await done(sandbox.commands.list())]
    await done(terminal.handle.disconnect())
    if not hasattr(sandbox.pty, "connect"):
        return
    said = []
    if sdk.asynchronous:
        again = await sandbox.pty.connect(pid, on_data=said.append)
        await terminal.type("echo again-$((6 * 7)); exit")
        await again.wait()
    else:
        again = sandbox.pty.connect(pid)
        await terminal.type("echo again-$((6 * 7)); exit")
        again.wait(on_pty=said.append)
    assert b"again-42" in b"".join(said), said


async def check_output_is_seen_while_it_runs(sdk):
    terminal = await Terminal(sdk, await sdk.sandbox()).open()
    if not sdk.asynchronous:
        return
    await terminal.type("echo ready-$((1 + 1))")
    await until(lambda: b"ready-2" in terminal.said)
    await done(terminal.handle.kill())
