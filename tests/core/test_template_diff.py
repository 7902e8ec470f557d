"""What changed between two versions: files line by line, and what they come to; bounded."""

from alcove.core import template_diff, templates
from alcove.core.template_diff import FileChange, LineKind
from alcove.recipes.native import read
from tests.core.world import ADA, ROOT, World

FIRST = b"""name: py
description: Python
image: {debian: bookworm, packages: [git]}
resources: {cpu: 2, memory: 2Gi}
network: {mode: open}
parameters:
  - {name: flavor, type: choice, default: plain, options: [plain, rich]}
"""
SECOND = FIRST.replace(b"2Gi", b"4Gi").replace(b"mode: open", b"mode: none")


def recipe(text: bytes) -> template_diff.Recipe:
    found = read({"template.yaml": text}, "py").recipe
    assert found is not None
    return found


def changes(before: bytes, after: bytes) -> dict[str, tuple[str, str]]:
    found = template_diff.of_recipes(recipe(before), recipe(after))
    return {one.field: (one.before, one.after) for one in found}


async def test_two_versions_are_compared_as_pushed(world: World) -> None:
    for text in (FIRST, SECOND):
        await templates.push(world.core, ROOT, name="py", files={"template.yaml": text})
    diff = await template_diff.compare(world.core, ADA, "py", before=1, after=2)
    [file] = diff.files
    assert (file.path, file.change, file.added, file.removed) == (
        "template.yaml",
        FileChange.CHANGED,
        2,
        2,
    )
    assert {change.field for change in diff.recipe} >= {"resources.memory", "network"}
    assert not diff.cut


def test_lines_are_told_with_their_surroundings() -> None:
    old = {"a.sh": b"one\ntwo\nthree\n"}
    [file], _ = template_diff.of_files(old, {"a.sh": b"one\n2\nthree\n"})
    assert [(line.kind, line.text) for line in file.lines] == [
        (LineKind.HUNK, "@@ -1,3 +1,3 @@"),
        (LineKind.SAME, "one"),
        (LineKind.REMOVED, "two"),
        (LineKind.ADDED, "2"),
        (LineKind.SAME, "three"),
    ]


def test_a_line_that_looks_like_a_header_is_a_line() -> None:
    [file], _ = template_diff.of_files({"a": b"-- x\n"}, {"a": b"++ x\n"})
    assert [(line.kind, line.text) for line in file.lines[1:]] == [
        (LineKind.REMOVED, "-- x"),
        (LineKind.ADDED, "++ x"),
    ]


def test_files_come_and_go() -> None:
    found, _ = template_diff.of_files({"old": b"x\n", "same": b"s"}, {"new": b"y\n", "same": b"s"})
    assert [(file.path, file.change) for file in found] == [
        ("new", FileChange.ADDED),
        ("old", FileChange.REMOVED),
    ]


def test_what_is_no_text_is_only_said_to_differ() -> None:
    found, _ = template_diff.of_files({"a": b"\xff\xfe"}, {"a": b"text", "b": b"nul\0"})
    assert [file.note for file in found] == ["binary", "binary"]


def test_a_large_file_is_not_compared() -> None:
    huge = b"x" * (template_diff.FILE_BYTES_MAX + 1)
    long = b"\n" * (template_diff.FILE_LINES_MAX + 1)
    found, _ = template_diff.of_files({}, {"huge": huge, "long": long})
    assert [file.note for file in found] == [
        "too large to compare: 128 KiB",
        "too long to compare: 3001 lines",
    ]


def test_all_files_together_are_bounded() -> None:
    many = {f"f{n}": b"line\n" * 2500 for n in range(4)}
    found, cut = template_diff.of_files({}, many)
    assert cut
    assert sum(len(file.lines) for file in found) == template_diff.LINES_MAX
    assert found[-1].note.startswith("left out")


def test_a_very_long_line_is_cut() -> None:
    [file], _ = template_diff.of_files({}, {"a": b"x" * 5000})
    assert len(file.lines[-1].text) == template_diff.WIDTH_MAX + 2


def test_the_recipe_says_limits_and_network_with_their_units() -> None:
    found = changes(FIRST, SECOND)
    assert found["resources.memory"] == ("2048 MiB", "4096 MiB")
    assert found["network"] == ("open", "none")


def test_a_parameter_is_told_by_its_name() -> None:
    more = FIRST + b"  - {name: cpu, type: number, default: 2, min: 1, max: 8}\n"
    found = changes(FIRST, more)
    assert found["parameters.cpu.max"] == ("", "8")
    assert not [name for name in found if name.startswith("parameters.flavor")]


def test_the_same_recipe_has_no_changes() -> None:
    assert changes(FIRST, FIRST + b"# a comment\n") == {}
