"""Advice before a push, and the dry run."""

import pytest

from alcove.recipes.lint import FILES_MAX, lint
from alcove.recipes.problem import Severity

GOOD = "image: {debian: bookworm}\ndescription: D\n"
"""Nothing can be said against this one; more text begins on line 3."""


def linted(text: str, **files: str) -> list[str]:
    beside = {name.replace("_", "."): content.encode() for name, content in files.items()}
    return [str(p) for p in lint({"template.yaml": text.encode(), **beside}, "x")]


def test_nothing_is_said_of_a_good_template() -> None:
    assert linted(GOOD) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image: {debian: bookworm}\n", "template.yaml:1: description: is missing"),
        (
            "image: {oci: python}\ndescription: D\n",
            "template.yaml:1: image.oci: has no tag of its own",
        ),
        ("image: {oci: r.io/a:latest}\ndescription: D\n", "image.oci: has no tag of its own"),
        (
            "description: D\nimage: {debian: bookworm, packages: [sudo]}\n",
            "template.yaml:2: image.packages: sudo is added by root: contained; leave it out",
        ),
        (
            "description: D\nroot: none\nimage: {debian: bookworm, packages: [sudo]}\n",
            "template.yaml:3: image.packages: sudo is of no use with root: none; leave it out",
        ),
        (
            "description: D\nimage: {debian: bookworm, packages: [bash]}\n",
            "image.packages: bash is always there; leave it out",
        ),
        (GOOD + "scripts:\n- {name: s, run: a}\n", "template.yaml:4: s: has no timeout"),
        (
            GOOD + "parameters:\n- {name: p, type: bool, default: true}\n",
            "template.yaml:4: p: has no description",
        ),
        (
            GOOD + "parameters:\n- {name: cpu, type: number, default: 4, description: C}\n",
            "template.yaml:4: cpu: default 4 wins over resources.cpu (2)",
        ),
        (
            GOOD + "parameters:\n- {name: ttl_hours, type: number, default: 4, description: C}\n",
            "template.yaml:4: ttl_hours: default 4 wins over lifecycle.ttl (never)",
        ),
        (
            GOOD + "ceilings: {ttl: 8h}\nlifecycle:\n  runtime_max: 2h\n",
            "template.yaml:5: lifecycle.runtime_max: stops a workspace after 2h although",
        ),
        (GOOD + "lifecycle: {ephemeral: true}\n", "lifecycle.ephemeral: keeps nothing at stop"),
    ],
)
def test_advice_is_a_warning_with_its_line(text: str, said: str) -> None:
    found = lint({"template.yaml": text.encode()}, "x")
    assert len(found) == 1, [str(p) for p in found]
    assert said in str(found[0])
    assert found[0].severity is Severity.WARNING


def test_a_tag_or_digest_of_its_own_is_fine() -> None:
    digest = "sha256:" + "a" * 64
    for reference in ("r.io:5000/a:1", f"a:latest@{digest}", f"a@{digest}"):
        assert linted(f"image: {{oci: '{reference}'}}\ndescription: D\n") == []


def test_errors_come_without_advice() -> None:
    assert linted("image: {debian: buster}\n") == [
        "template.yaml:1: image.debian: 'buster' is not bullseye, bookworm or trixie"
    ]


def test_a_file_that_nothing_names_is_pointed_out() -> None:
    text = GOOD + "scripts: [{name: s, run: ./setup.sh, timeout: 1m}]\n"
    assert linted(text, setup_sh="true\n", other_sh="true\n", README_md="R") == [
        "other.sh: nothing in template.yaml names it"
    ]


REQUIRED = """\
parameters:
- {name: a, type: string, pattern: "x{9}", description: D}
- {name: b, type: number, min: 5, max: 6, description: D}
- {name: c, type: number, max: 0, description: D}
- {name: d, type: choice, options: [y], description: D}
- {name: e, type: bool, description: D}
- {name: f, type: list, min: 1, description: D}
- {name: repo, type: string, description: D}
"""


def test_the_dry_run_answers_what_only_a_person_could() -> None:
    assert linted(GOOD + REQUIRED) == []


def test_the_dry_run_finds_a_preset_that_cannot_be() -> None:
    text = (
        GOOD + "parameters:\n"
        '- {name: repo, type: string, default: "", description: D}\n'
        '- {name: branch, type: string, default: "", description: D}\n'
        "presets:\n- {name: p, parameters: {branch: main}}\n"
    )
    assert linted(text) == ["template.yaml:7: p: parameters.branch: has no meaning without a repo"]


def test_a_directory_over_the_limits_is_not_looked_at() -> None:
    found = lint({f"f{n}": b"" for n in range(FILES_MAX + 1)}, "x")
    assert [str(p) for p in found] == [".: is more than 1000 files or 4 MiB"]
    found = lint({"template.yaml": GOOD.encode(), "big": b"x" * 5_000_000}, "x")
    assert [p.severity for p in found] == [Severity.ERROR]
