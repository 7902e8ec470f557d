"""References to images in registries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcove.recipes.sources import Reference, parse_reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("python", Reference("docker.io/library/python", "", "")),
        ("org/tool:1", Reference("docker.io/org/tool", "1", "")),
        ("localhost/a", Reference("localhost/a", "", "")),
        ("localhost:5000/a:b", Reference("localhost:5000/a", "b", "")),
        ("r.example.com/a/b_c/d-e__f:1.2-x", Reference("r.example.com/a/b_c/d-e__f", "1.2-x", "")),
        (f"r.io/a@{DIGEST}", Reference("r.io/a", "", DIGEST)),
        (f"r.io/a:1@{DIGEST}", Reference("r.io/a", "1", DIGEST)),
        # Without a path there is no registry: by every tool's rule this is an image with a tag.
        ("r.io:5000", Reference("docker.io/library/r.io", "5000", "")),
        ("[::1]:5000/a", Reference("[::1]:5000/a", "", "")),
    ],
)
def test_a_reference_is_taken_apart(text: str, reference: Reference) -> None:
    assert parse_reference(text) == reference


def test_a_reference_is_put_together_again_with_its_tag() -> None:
    assert parse_reference("a:1").tagged == "docker.io/library/a:1"
    assert parse_reference("a").tagged == "docker.io/library/a"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a b",
        "A",
        "-a",
        "--authfile=x",
        "docker://a",
        "oci:/etc",
        "dir:/etc/passwd",
        "docker-archive:/x",
        "containers-storage:x/y",
        "a:",
        "a:-b",
        "a:" + "b" * 129,
        "a@sha256:abc",
        "a@",
        f"a@md5:{'a' * 64}",
        "a//b",
        "/a",
        "a/",
        "r.io/a/../b",
        "r.io/./a",
        "-r.io/a",
        "r.io:port/a",
        "r.io/a\n",
        "r.io/ä",
        "u:p@r.io/a",
        "r.io/" + "a" * 300,
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not|limit is 255"):
        parse_reference(text)


@given(st.text() | st.text("a/.:@-_[]:0", max_size=12))
def test_no_text_becomes_an_option_or_a_path(text: str) -> None:
    try:
        reference = parse_reference(text)
    except ValueError:
        return
    assert reference.name[0] not in "-/."
    assert ".." not in reference.name
