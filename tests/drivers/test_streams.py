"""Streams over sockets, with the other end in the test's own hand."""

import socket
from collections.abc import AsyncGenerator

import anyio
import anyio.to_thread
import pytest

from alcove.drivers.streams import HELD_MAX, UNSENT_MAX, Stream

KERNEL_MAX = 2 << 20
"""More than the kernel keeps between two ends."""


@pytest.fixture(params=[True, False], ids=["uvloop", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """The server's loop and the tests'."""
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def ends() -> AsyncGenerator[tuple[Stream, socket.socket]]:
    ours, other = socket.socketpair()
    ours.setblocking(False)
    other.setblocking(False)
    async with await Stream.of(ours) as stream:
        with other, anyio.fail_after(20):
            yield stream, other


Ends = tuple[Stream, socket.socket]


async def test_bytes_come_in_order_and_as_few_as_asked_for(ends: Ends) -> None:
    stream, other = ends
    other.send(b"abcdef")
    assert [await stream.receive(4), await stream.receive(4)] == [b"abcd", b"ef"]


async def test_a_reader_waits_for_bytes(ends: Ends) -> None:
    stream, other = ends
    async with anyio.create_task_group() as tasks:

        async def read() -> None:
            assert await stream.receive() == b"late"

        tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        other.send(b"late")


async def test_what_nobody_reads_is_left_with_the_writer(ends: Ends) -> None:
    stream, other = ends
    written = await _fill(other)
    assert HELD_MAX <= written < HELD_MAX + KERNEL_MAX
    read = 0
    while read < written:
        read += len(await stream.receive(50_000))
    other.send(b"more")
    assert await stream.receive() == b"more"


async def test_a_writer_waits_for_a_reader(ends: Ends) -> None:
    stream, other = ends
    sent = 0
    with anyio.move_on_after(0.5):
        while sent < KERNEL_MAX + UNSENT_MAX:
            await stream.send(b"x" * 10_000)
            sent += 10_000
    assert sent < KERNEL_MAX
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stream.send, b"last")
        tail = b""
        while not tail.endswith(b"last"):
            await anyio.wait_readable(other)
            tail = other.recv(1 << 20)


async def test_after_the_end_one_may_still_write(ends: Ends) -> None:
    stream, other = ends
    other.send(b"all")
    other.shutdown(socket.SHUT_WR)
    assert await stream.receive() == b"all"
    for _ in range(2):
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()
    await stream.send(b"answer")
    await anyio.wait_readable(other)
    assert other.recv(10) == b"answer"


async def test_a_closed_end_is_known_at_once(ends: Ends) -> None:
    stream, other = ends
    other.send(b"x")
    assert not stream.at_end()
    other.close()
    assert stream.at_end()


async def test_our_end_of_sending_leaves_reading_open(ends: Ends) -> None:
    stream, other = ends
    await stream.send_eof()
    await anyio.wait_readable(other)
    assert other.recv(1) == b""
    other.send(b"answer")
    assert await stream.receive() == b"answer"


async def test_what_came_before_a_cut_is_read(ends: Ends) -> None:
    stream, other = ends
    other.send(b"refused")
    assert await stream.receive(2) == b"re"
    other.close()
    with pytest.raises(anyio.BrokenResourceError):
        await _send_on(stream)
    assert await stream.receive() == b"fused"
    with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
        await stream.receive()


async def test_a_cut_wakes_a_writer_that_waits(ends: Ends) -> None:
    stream, other = ends
    async with anyio.create_task_group() as tasks:

        async def write() -> None:
            with pytest.raises(anyio.BrokenResourceError):
                await _send_on(stream)

        tasks.start_soon(write)
        await anyio.sleep(0.1)
        other.close()


async def test_closing_wakes_who_waits(ends: Ends) -> None:
    stream, _ = ends
    async with anyio.create_task_group() as tasks:

        async def read() -> None:
            with pytest.raises(anyio.ClosedResourceError):
                await stream.receive()

        tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        await stream.aclose()
    with pytest.raises(anyio.ClosedResourceError):
        await stream.send(b"x")


async def test_what_was_sent_before_closing_arrives(ends: Ends) -> None:
    stream, other = ends
    await stream.send(b"x" * UNSENT_MAX)
    await stream.aclose()
    other.setblocking(True)
    got = 0
    while piece := await anyio.to_thread.run_sync(other.recv, 1 << 20):
        got += len(piece)
    assert got == UNSENT_MAX


async def test_closing_does_not_wait_for_an_end_that_reads_nothing(ends: Ends) -> None:
    stream, _ = ends
    with anyio.move_on_after(0.3):
        await _send_on(stream)
    with anyio.fail_after(5):
        await stream.aclose()


async def _send_on(stream: Stream) -> None:
    while True:
        await stream.send(b"x" * 100_000)


async def _fill(other: socket.socket) -> int:
    """Write until neither the kernel nor the stream takes more."""
    written = 0
    while True:
        with anyio.move_on_after(0.3) as patience:
            await anyio.wait_writable(other)
        if patience.cancelled_caught:
            return written
        written += other.send(b"x" * 10_000)
