import asyncio

from both import MODE, do, raises, run
from daytona import PtySize


async def main(daytona):
    sandbox = await do(daytona.create())
    process = sandbox.process
    seen = bytearray()
    more = {"on_data": seen.extend} if MODE == "async" else {}
    handle = await do(
        process.create_pty_session(
            id="one", cwd="/tmp", envs={"MINE": "a b"}, pty_size=PtySize(rows=30, cols=100), **more
        )
    )
    assert handle.is_connected()
    with raises(409):
        await do(process.create_pty_session(id="one", **more))
    found = await do(process.get_pty_session_info("one"))
    assert (found.id, found.cols, found.rows, found.cwd) == ("one", 100, 30, "/tmp"), found
    assert found.envs == {"MINE": "a b"} and found.active
    assert [one.id for one in await do(process.list_pty_sessions())] == ["one"]
    resized = await do(handle.resize(PtySize(rows=40, cols=120)))
    assert (resized.cols, resized.rows) == (120, 40), resized
    await do(handle.send_input('stty size; echo "<$MINE>"; exit 3\n'))
    if MODE == "async":
        ended = await handle.wait()
    else:
        ended = await asyncio.to_thread(handle.wait, seen.extend, 20)
    assert ended.exit_code == 3, (ended, bytes(seen))
    assert b"40 120" in seen and b"<a b>" in seen, bytes(seen)
    await do(handle.disconnect())
    assert await do(process.list_pty_sessions()) == []

    seen.clear()
    first = await do(process.create_pty_session(id="two", **more))
    await do(first.send_input("echo remembered-$((40+2))\n"))
    if MODE == "async":
        while b"remembered-42" not in seen:
            await asyncio.sleep(0.01)
    else:
        for piece in first:
            seen.extend(piece)
            if b"remembered-42" in seen:
                break
    await do(first.disconnect())
    seen.clear()
    second = await do(process.connect_pty_session("two", **more))
    if MODE == "async":
        while b"remembered-42" not in seen:
            await asyncio.sleep(0.01)
    else:
        for piece in second:
            seen.extend(piece)
            if b"remembered-42" in seen:
                break
    await do(second.kill())
    assert await do(process.list_pty_sessions()) == []
    with raises(404):
        await do(process.get_pty_session_info("two"))
    with raises(404):
        await do(process.kill_pty_session("two"))
    await do(second.disconnect())
    await do(sandbox.delete())


run(main)
