"""The queue of builds, with work that the test finishes."""

import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from alcove.host.images.builds import BACKOFF_S, WAITING_MAX, Builds, State
from alcove.host.images.runner import Progress
from alcove.model.errors import DriverError


@dataclass
class Clock:
    """A monotonic clock that the test moves."""

    at: float = 1000.0

    def __call__(self) -> float:
        return self.at


@dataclass
class Work:
    """Waits until it is told how to end."""

    begun: threading.Event = field(default_factory=threading.Event)
    end: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None
    runs: int = 0

    def __call__(self, progress: Progress) -> None:
        self.runs += 1
        progress.say("working")
        self.begun.set()
        while not self.end.wait(0.005):
            progress.check()
        if self.error:
            raise self.error


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def builds(clock: Clock) -> Generator[Builds]:
    made = Builds(clock, deadline_s=60)
    yield made
    made.close()


def eventually(claim: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_two_requests_for_one_image_share_a_build(builds: Builds, tmp_path: Path) -> None:
    work = Work()
    builds.request("a", work, tmp_path / "a")
    assert work.begun.wait(5)
    builds.request("a", work, tmp_path / "a")
    work.end.set()
    eventually(builds.idle)
    assert work.runs == 1


def test_one_image_is_built_at_a_time(builds: Builds, tmp_path: Path) -> None:
    first, second = Work(), Work()
    builds.request("a", first, tmp_path / "a")
    builds.request("b", second, tmp_path / "b")
    assert first.begun.wait(5)
    assert builds.status("a") == (State.BUILDING, "working")
    assert builds.status("b") == (State.BUILDING, "waiting for another build")
    assert not second.begun.is_set()
    first.end.set()
    assert second.begun.wait(5)


@pytest.mark.parametrize("queued_before", [True, False])
def test_what_somebody_waits_for_goes_first(
    builds: Builds, tmp_path: Path, queued_before: bool
) -> None:
    first, background, awaited = Work(), Work(), Work()
    builds.request("first", first, tmp_path / "log")
    eventually(first.begun.is_set)
    builds.request("background", background, tmp_path / "log")
    if queued_before:
        builds.request("awaited", awaited, tmp_path / "log")
    builds.request("awaited", awaited, tmp_path / "log", awaited=True)
    first.end.set()
    eventually(awaited.begun.is_set)
    assert not background.begun.is_set()
    awaited.end.set()
    eventually(background.begun.is_set)
    background.end.set()
    eventually(builds.idle)
    assert awaited.runs == 1


def test_a_failure_is_told_and_waits_before_it_is_tried_again(
    builds: Builds, clock: Clock, tmp_path: Path
) -> None:
    work = Work(error=DriverError("the mirror is down", retry=True))
    work.end.set()
    for attempt, pause in enumerate(BACKOFF_S, 1):
        builds.request("a", work, tmp_path / "a")
        eventually(lambda: builds.status("a") == (State.FAILED, "the mirror is down"))
        eventually(builds.idle)
        clock.at += pause - 0.1
        builds.request("a", work, tmp_path / "a")
        assert builds.idle()
        assert work.runs == attempt
        clock.at += 0.2


def test_a_failure_that_stays_is_not_tried_again_soon(
    builds: Builds, clock: Clock, tmp_path: Path
) -> None:
    work = Work(error=DriverError("no such package", retry=False))
    work.end.set()
    builds.request("a", work, tmp_path / "a")
    eventually(lambda: builds.status("a") is not None and builds.idle())
    clock.at += 500
    builds.request("a", work, tmp_path / "a")
    assert builds.idle()


def test_a_bug_in_one_build_does_not_stop_the_next(builds: Builds, tmp_path: Path) -> None:
    broken, fine = Work(error=ZeroDivisionError("oh")), Work()
    broken.end.set()
    fine.end.set()
    builds.request("a", broken, tmp_path / "a")
    builds.request("b", fine, tmp_path / "b")
    eventually(lambda: fine.runs == 1)
    found = builds.status("a")
    assert found is not None
    assert "ZeroDivisionError" in found[1]


def test_a_build_that_takes_too_long_is_ended(clock: Clock, tmp_path: Path) -> None:
    builds = Builds(clock, deadline_s=0.05)
    builds.request("a", Work(), tmp_path / "a")
    eventually(lambda: (builds.status("a") or ("", ""))[1].startswith("not done after"))
    builds.close()


def test_a_cancelled_build_ends(builds: Builds, tmp_path: Path) -> None:
    work = Work()
    builds.request("a", work, tmp_path / "a")
    assert work.begun.wait(5)
    builds.cancel("a")
    eventually(lambda: builds.status("a") == (State.FAILED, "cancelled while working"))


def test_too_many_requests_are_refused(builds: Builds, tmp_path: Path) -> None:
    first = Work()
    builds.request("first", first, tmp_path / "first")
    assert first.begun.wait(5)
    for number in range(WAITING_MAX):
        builds.request(str(number), Work(), tmp_path / "x")
    with pytest.raises(DriverError, match="try again later"):
        builds.request("one more", Work(), tmp_path / "x")


def test_nothing_is_removed_while_a_build_runs(builds: Builds, tmp_path: Path) -> None:
    work = Work()
    builds.request("a", work, tmp_path / "a")
    assert work.begun.wait(5)
    done: list[int] = []
    assert not builds.exclusively(lambda: done.append(1))
    work.end.set()
    eventually(builds.idle)
    assert builds.exclusively(lambda: done.append(1))
    assert done == [1]


def test_the_log_is_bounded_and_holds_no_control_characters(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "log", deadline_s=1)
    progress.log("\x1b[31mred\x07")
    for _ in range(400):
        progress.log("x" * 5000)
    text = (tmp_path / "log").read_text()
    assert text.startswith("?[31mred?\n")
    assert len(text) < (1 << 20) + 10_000
    assert text.endswith("(the rest of the log is left out)\n")
