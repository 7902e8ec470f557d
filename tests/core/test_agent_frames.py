"""Frames out of a stream, however it is cut."""

import struct
from collections.abc import AsyncIterator

import pytest

from alcove.core.frames import FRAME_MAX, Frame, Frames
from alcove.model.errors import Unavailable

SAID = [
    (Frame.STARTED, b"{}"),
    (Frame.STDOUT, b"o" * 300),
    (Frame.STDERR, b""),
    (Frame.EXIT, b"!"),
]
WIRE = b"".join(struct.pack(">BI", kind, len(payload)) + payload for kind, payload in SAID)


async def _read(*pieces: bytes) -> list[tuple[Frame, bytes]]:
    async def source() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return [frame async for frame in Frames(source())]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 11, 299, 305, 306, 320, len(WIRE)])
async def test_frames_are_whole_however_they_come(size: int) -> None:
    assert await _read(*(WIRE[at : at + size] for at in range(0, len(WIRE), size))) == SAID


@pytest.mark.parametrize("left", [1, 4, 5, 100])
async def test_an_end_within_a_frame_is_told(left: int) -> None:
    with pytest.raises(Unavailable, match="broke off"):
        await _read(WIRE, WIRE[7 : 7 + left])


@pytest.mark.parametrize("head", [struct.pack(">BI", 1, FRAME_MAX + 1), struct.pack(">BI", 9, 1)])
async def test_what_is_no_frame_is_refused(head: bytes) -> None:
    with pytest.raises(Unavailable, match="that is none"):
        await _read(WIRE + head)
