"""The template author's guide tells of everything, and its examples are true."""

import re
from pathlib import Path

from alcove.recipes.fields import CEILINGS, LIFECYCLE, PARAMETER, RESOURCES, TEMPLATE
from alcove.recipes.lint import lint
from alcove.recipes.native import read
from alcove.recipes.wellknown import WellKnown

GUIDE = (Path(__file__).parents[2] / "docs" / "templates.md").read_text()


def examples() -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", GUIDE, flags=re.DOTALL)


def test_every_field_is_in_the_guide() -> None:
    tables = (TEMPLATE, PARAMETER, CEILINGS, RESOURCES, LIFECYCLE)
    named = {name for table in tables for name in table.fields}
    missing = [n for n in (*named, *WellKnown) if f"`{n}`" not in GUIDE and f"`{n}:" not in GUIDE]
    assert missing == []


def test_the_first_example_lints_clean() -> None:
    files = {"template.yaml": examples()[0].encode(), "setup.sh": b"true\n"}
    assert [str(p) for p in lint(files, "web")] == []


def test_the_other_examples_are_read_as_parts_of_a_template() -> None:
    for example in examples()[1:]:
        text = f"image: {{debian: bookworm}}\n{example}"
        beside = {"setup.sh": b"true\n", "tool.toml": b"level = 3\n"}
        reading = read({"template.yaml": text.encode(), **beside}, "x")
        assert [str(p) for p in reading.problems] == []
