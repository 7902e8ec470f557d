"""`alcove top`: the order, the sums, the keys, and what is shown of what."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from rich.console import Console

from alcove.cli.top import Asked, Fleet, Sort, Use, picture, turned
from alcove.sdk.errors import NotFound
from tests.cli.conftest import CommandLine
from tests.cli.terminal import at_a_terminal
from tests.conftest import T0
from tests.sdk.answers import workspace as answer

if TYPE_CHECKING:
    from alcove.sdk import Alcove

ASKED = Asked(owner=None, template=None, phase=None, labels={})


class _One:
    def __init__(self, info: object) -> None:
        self.info = info


class _Api:
    """As much of a client as `top` uses."""

    def __init__(self, *infos: Any) -> None:
        self.infos = list(infos)
        self.looked: list[str] = []

    @property
    def workspaces(self) -> "_Api":
        return self

    def list(self, **_: object) -> "list[_One]":
        return [_One(info) for info in self.infos]

    def get(self, ref: str) -> _One:
        self.looked.append(ref)
        for info in self.infos:
            if info.id == ref:
                return _One(info)
        raise NotFound("gone")


def info(name: str, *, cpu: float = 0, memory: int = 0, **about: Any) -> Any:
    usage = {"cpu_seconds": cpu, "memory_mib": memory, "disk_mib": 1}
    return answer(name=name, id=f"ws-{name}", usage=usage, **about)


def fleet(*infos: Any) -> Fleet:
    found = Fleet(cast("Alcove", _Api(*infos)))
    found.look(ASKED, shown=50)
    return found


def names(found: Fleet, asked: Asked) -> list[str]:
    return [one.name for one in found.ordered(asked)]


def drawn(found: Fleet, *, width: int = 100, height: int = 20) -> str:
    console = Console(width=width, height=height)
    with console.capture() as capture:
        console.print(picture(found, ASKED, width, height))
    return capture.get()


def test_the_largest_comes_first_and_what_does_not_run_last() -> None:
    found = fleet(info("a", memory=10), info("b", memory=300), info("c", phase="stopped"))
    by_memory = Asked(None, None, None, {}, Sort.MEMORY)
    assert names(found, by_memory) == ["b", "a", "c"]
    assert names(found, turned(by_memory, "m")) == ["c", "a", "b"]


def test_what_failed_comes_before_what_runs() -> None:
    found = fleet(info("a"), info("b", phase="failed"), info("c", phase="stopped"))
    assert names(found, Asked(None, None, None, {}, Sort.PHASE)) == ["b", "a", "c"]


@pytest.mark.parametrize("sort", Sort)
def test_every_order_has_all_of_them(sort: Sort) -> None:
    later = T0 + timedelta(hours=1)
    found = fleet(info("a"), info("b", phase="stopped", created_at=later.isoformat()))
    assert sorted(names(found, Asked(None, None, None, {}, sort))) == ["a", "b"]


def test_cores_are_what_was_used_between_two_looks() -> None:
    first = Use(10.0, 1, 1, at=100.0)
    assert first.after(None).cores is None
    assert Use(13.0, 1, 1, at=102.0).after(first).cores == 1.5
    # It was started again meanwhile, and counts from 0.
    assert Use(0.5, 1, 1, at=102.0).after(first).cores is None


def test_a_key_sorts_and_the_same_one_turns_round() -> None:
    by_name = turned(ASKED, "n")
    assert (by_name.sort, by_name.reverse) == (Sort.NAME, False)
    assert turned(by_name, "n").reverse
    assert turned(by_name, "r").reverse
    assert turned(by_name, "x") is by_name


def test_only_what_a_screen_shows_is_asked_for_its_use() -> None:
    api = _Api(*(info(f"w{n}") for n in range(200)))
    Fleet(cast("Alcove", api)).look(ASKED, shown=20)
    assert len(api.looked) == 20


def test_one_that_goes_meanwhile_is_no_error() -> None:
    api = _Api(info("a"))
    found = Fleet(cast("Alcove", api))
    api.get = lambda ref: (_ for _ in ()).throw(NotFound("gone"))  # pyright: ignore[reportAttributeAccessIssue]
    found.look(ASKED, shown=5)
    assert found.uses == {}


def test_a_screen_has_no_more_lines_than_the_terminal() -> None:
    found = fleet(*(info(f"w{n}") for n in range(100)))
    text = drawn(found, height=12)
    assert len(text.rstrip("\n").splitlines()) <= 12
    assert "more" in text
    assert "100 workspaces: 100 running" in text


def test_what_a_server_says_is_no_command_to_the_terminal() -> None:
    found = fleet(info("a", phase="failed", reason="\x1b[2Jgone"))
    assert "\x1b[2J" not in drawn(found)


@pytest.mark.root
def test_it_looks_once_where_nobody_sits(alcove: CommandLine, workspace: str) -> None:
    done = alcove("top", "--all")
    assert done.returncode == 0, done.stderr
    assert workspace in done.stdout.decode()


@pytest.mark.root
def test_it_is_refreshed_until_q(alcove: CommandLine, workspace: str) -> None:
    with at_a_terminal("top", "--interval", "0.5", env=alcove.environment) as seen:
        seen.wait_for("by cpu")
        seen.type("m")
        seen.wait_for("by memory")
        seen.type("q")
        assert seen.end() == 0
    assert workspace in seen.text
