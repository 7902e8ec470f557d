"""Packets of one turn of the event loop are written at once."""

import asyncio

import anyio.lowlevel
import pytest

from alcove.gateway.gathering import AT_ONCE, Gathering


class Below(asyncio.Transport):
    """Notes what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.seen.append(bytes(data))

    def abort(self) -> None:
        self.seen.append(b"abort")

    def close(self) -> None:
        self.seen.append(b"close")


@pytest.fixture
async def below() -> Below:
    return Below()


@pytest.fixture
async def gathering(below: Below) -> Gathering:
    return Gathering(below, asyncio.get_running_loop())


async def test_what_is_written_in_one_turn_is_one_write(
    gathering: Gathering, below: Below
) -> None:
    gathering.write(b"one")
    gathering.write(b"two")
    assert below.seen == []
    await anyio.lowlevel.checkpoint()
    assert below.seen == [b"onetwo"]


async def test_each_turn_has_its_own(gathering: Gathering, below: Below) -> None:
    for data in (b"one", b"two"):
        gathering.write(data)
        await anyio.lowlevel.checkpoint()
    assert below.seen == [b"one", b"two"]


async def test_little_waits_for_the_end_of_a_turn(gathering: Gathering, below: Below) -> None:
    gathering.write(b"x")
    gathering.write(bytes(AT_ONCE))
    assert [len(one) for one in below.seen] == [AT_ONCE + 1]
    await anyio.lowlevel.checkpoint()
    assert len(below.seen) == 1


@pytest.mark.parametrize("end", ["abort", "close"])
async def test_the_last_words_come_before_the_end(
    gathering: Gathering, below: Below, end: str
) -> None:
    gathering.write(b"goodbye")
    getattr(gathering, end)()
    assert below.seen == [b"goodbye", end.encode()]
