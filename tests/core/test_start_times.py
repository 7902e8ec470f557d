"""What is usual: the median of the way in which most workspaces of a version began."""

from alcove.core.start_times import Usual, usual_of
from alcove.model.workspace import StartedFrom
from alcove.store.fleet import TemplateStart

COLD, POOL = StartedFrom.COLD, StartedFrom.POOL


def starts(version: int, started: StartedFrom, *seconds: float) -> list[TemplateStart]:
    return [TemplateStart("python", version, started, one) for one in seconds]


def test_the_way_of_most_counts() -> None:
    found = usual_of([*starts(1, COLD, 30, 40, 50), *starts(1, POOL, 0.1, 0.3, 0.2, 9)])
    assert found == {("python", 1): Usual(POOL, 0.2, 4)}


def test_versions_are_told_apart() -> None:
    found = usual_of([*starts(1, COLD, 5, 5, 5), *starts(2, COLD, 1, 2, 3)])
    assert {version: one.p50_s for version, one in found.items()} == {
        ("python", 1): 5,
        ("python", 2): 2,
    }


def test_a_few_starts_are_not_what_is_usual() -> None:
    assert usual_of(starts(1, COLD, 5, 5)) == {}
