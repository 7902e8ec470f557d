"""What the gateway sees in SFTP that passes, whatever passes."""

from hypothesis import given
from hypothesis import strategies as st

from alcove.gateway.sftp_watching import PATHS_MAX, PENDING_MAX, Watcher

READ, WRITE = 1, 2 | 8
OPEN, REMOVE, RENAME, EXTENDED, STATUS, HANDLE, DATA = 3, 13, 18, 200, 101, 102, 103


def text(value: bytes) -> bytes:
    return len(value).to_bytes(4) + value


def packet(kind: int, id: int, *rest: bytes) -> bytes:
    return text(bytes([kind]) + id.to_bytes(4) + b"".join(rest))


def opening(id: int, path: bytes, how: int) -> bytes:
    return packet(OPEN, id, text(path), how.to_bytes(4), (0).to_bytes(4))


def ok(id: int) -> bytes:
    return packet(STATUS, id, (0).to_bytes(4), text(b""), text(b""))


def refused(id: int) -> bytes:
    return packet(STATUS, id, (3).to_bytes(4), text(b"denied"), text(b""))


def handle(id: int) -> bytes:
    return packet(HANDLE, id, text(b"1234"))


def test_what_succeeded_is_told_by_kind() -> None:
    watcher = Watcher()
    watcher.asked(opening(1, b"a", READ) + opening(2, b"b", WRITE))
    watcher.asked(packet(REMOVE, 3, text(b"c")) + packet(RENAME, 4, text(b"d"), text(b"e")))
    watcher.answered(handle(1) + handle(2) + ok(3) + ok(4))
    done = watcher.taken()
    assert {kind: one.paths for kind, one in done.items()} == {
        "read": ["a"],
        "written": ["b", "e"],
        "removed": ["c", "d"],
    }
    assert not watcher.taken()


def test_what_was_refused_or_not_answered_is_not_told() -> None:
    watcher = Watcher()
    watcher.asked(opening(1, b"a", READ) + opening(2, b"b", READ) + packet(REMOVE, 3, text(b"c")))
    watcher.answered(refused(1) + refused(3) + handle(99))
    assert not watcher.taken()


def test_an_extension_that_renames_is_one() -> None:
    watcher = Watcher()
    name = text(b"posix-rename@openssh.com")
    watcher.asked(packet(EXTENDED, 1, name, text(b"a"), text(b"b")))
    watcher.answered(ok(1))
    assert set(watcher.taken()) == {"removed", "written"}


def test_pieces_may_be_cut_anywhere_and_data_lies_between() -> None:
    asked = opening(1, b"a", READ) + packet(6, 2, b"x" * 70_000) + opening(3, b"b", WRITE)
    answered = handle(1) + packet(DATA, 2, b"y" * 70_000) + handle(3)
    for size in (1, 3, 7, 4096, 100_000):
        watcher = Watcher()
        for start in range(0, len(asked), size):
            watcher.asked(asked[start : start + size])
        for start in range(0, len(answered), size):
            watcher.answered(answered[start : start + size])
        assert {kind: one.paths for kind, one in watcher.taken().items()} == {
            "read": ["a"],
            "written": ["b"],
        }


def test_many_files_are_counted_and_the_first_named() -> None:
    watcher = Watcher()
    for number in range(1000):
        watcher.asked(opening(number, b"f%d" % number, READ))
        watcher.answered(handle(number))
    done = watcher.taken()["read"]
    assert done.count == 1000
    assert done.paths == [f"f{number}" for number in range(PATHS_MAX)]


def test_requests_without_answers_are_bounded() -> None:
    watcher = Watcher()
    for number in range(PENDING_MAX + 100):
        watcher.asked(opening(number, b"f", READ))
    for number in range(PENDING_MAX + 100):
        watcher.answered(handle(number))
    assert watcher.taken()["read"].count == PENDING_MAX


@given(st.lists(st.binary(max_size=200)), st.lists(st.binary(max_size=200)))
def test_it_never_fails(asked: list[bytes], answered: list[bytes]) -> None:
    watcher = Watcher()
    for piece in asked:
        watcher.asked(piece)
    for piece in answered:
        watcher.answered(piece)
    watcher.taken()
