"""`pool:` in a template: how many it keeps ready, and what is said against what cannot be."""

import pytest

from alcove.model.pool import PoolMode, PoolSettings, Window
from alcove.recipes.native import read

HEAD = "name: x\ndescription: y\nimage: {debian: bookworm}\npool:\n"
WORK = "  schedule:\n    - {days: mon-fri, from: '08:00', to: '18:00', min: 9}\n"


def pool(text: str) -> PoolSettings:
    reading = read({"template.yaml": (HEAD + text).encode()}, "x")
    assert reading.recipe is not None, reading.problems
    return reading.recipe.pool


def problems(text: str) -> list[str]:
    return [str(p) for p in read({"template.yaml": (HEAD + text).encode()}, "x").problems]


def test_a_size_alone_is_kept_whatever_is_asked_for() -> None:
    assert pool("  size: 3\n") == PoolSettings(min=3, max=3, mode=PoolMode.FIXED)


def test_a_size_leaves_room_for_its_schedule() -> None:
    found = pool("  size: 3\n  zone: Europe/Paris\n" + WORK)
    window = Window(("mon", "tue", "wed", "thu", "fri"), "08:00", "18:00", 9)
    assert found == PoolSettings(min=3, max=9, schedule=(window,), zone="Europe/Paris")


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("  min: 2\n  max: 5\n", PoolMode.ADAPTIVE),
        ("  min: 2\n", PoolMode.FIXED),
        ("  min: 2\n  max: 2\n", PoolMode.FIXED),
        ("  min: 2\n  max: 5\n  mode: fixed\n", PoolMode.FIXED),
    ],
)
def test_a_pool_adapts_where_it_has_room_unless_it_says_not_to(text: str, mode: PoolMode) -> None:
    assert pool(text).mode is mode


@pytest.mark.parametrize("other", ["min: 1", "max: 9", "mode: fixed"])
def test_a_size_and_what_says_the_same_are_not_both_had(other: str) -> None:
    said = "says the same as size; give size, or min and max"
    name = other.partition(":")[0]
    assert problems(f"  size: 3\n  {other}\n") == [f"template.yaml:6: pool.{name}: {said}"]


@pytest.mark.parametrize("days", ["monday", "mon-wed-fri"])
def test_days_that_are_none_are_named_with_their_line(days: str) -> None:
    [said] = problems("  size: 3\n" + WORK.replace("mon-fri", days))
    assert said.startswith(f"template.yaml:7: pool.schedule[0].days: {days!r} is not days")


def test_one_wrong_window_hides_no_fault_of_the_pool() -> None:
    wrong = WORK.replace("mon-fri", "mon-wed-fri")
    fields = [said.split(": ")[1] for said in problems("  min: 5\n  max: 3\n" + wrong)]
    assert fields == ["pool.min", "pool.schedule[0].days"]


def test_a_least_over_the_most_is_reported_where_it_is_written() -> None:
    assert problems("  max: 3\n  min: 5\n") == ["template.yaml:6: pool.min: min 5 is over max 3"]
