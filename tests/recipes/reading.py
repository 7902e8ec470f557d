"""Short ways to read a template in a test."""

from alcove.model.template import Recipe
from alcove.recipes.native import Reading, read

LEAST = "image: {debian: bookworm}\n"
"""The shortest template there is."""


def read_text(text: str, **files: str) -> Reading:
    """Reads `text` as template.yaml of a directory `x`, beside files (`setup_sh` is setup.sh)."""
    beside = {name.replace("_", "."): content.encode() for name, content in files.items()}
    return read({"template.yaml": text.encode(), **beside}, "x")


def problems(text: str, **files: str) -> list[str]:
    return [str(problem) for problem in read_text(LEAST + text, **files).problems]


def recipe(text: str = "", **files: str) -> Recipe:
    """The recipe of the shortest template with `text` behind it."""
    reading = read_text(LEAST + text, **files)
    assert reading.recipe is not None, [str(p) for p in reading.problems]
    return reading.recipe
