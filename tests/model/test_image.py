"""An image's key says what is in it, and nothing else."""

import hashlib
import json
from dataclasses import replace

import pytest

from alcove.model.image import DebianImage, OciImage

IMAGE = DebianImage("bookworm", ("git", "curl"), "dev", sudo=True)


def test_neither_order_nor_repetition_makes_another_image() -> None:
    assert replace(IMAGE, packages=("curl", "git", "git")).key == IMAGE.key
    more = replace(IMAGE, npm=("a@1", "b@2"), pip=("c==1", "d==2"))
    assert replace(more, npm=("b@2", "a@1", "a@1"), pip=("d==2", "c==1", "c==1")).key == more.key


@pytest.mark.parametrize(
    "other",
    [
        replace(IMAGE, suite="trixie"),
        replace(IMAGE, packages=("git",)),
        replace(IMAGE, user="ada"),
        replace(IMAGE, sudo=False),
        replace(IMAGE, npm=("a@1",)),
        replace(IMAGE, pip=("a@1",)),
    ],
    ids=["suite", "packages", "user", "sudo", "npm", "pip"],
)
def test_what_is_in_it_makes_another_image(other: DebianImage) -> None:
    assert other.key != IMAGE.key


def test_the_same_name_from_npm_and_from_pip_are_two_images() -> None:
    assert replace(IMAGE, npm=("a@1",)).key != replace(IMAGE, pip=("a@1",)).key


def test_what_is_on_disk_is_found_again() -> None:
    """Under the keys of images that were built before there were modules of npm and pip."""
    parts = ["debian", "bookworm", ["curl", "git"], "dev", True]
    assert IMAGE.key == hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def test_a_pulled_image_is_its_digest_whichever_registry_had_it() -> None:
    one, other = OciImage("one.example/a", "sha256:1"), OciImage("two.example/b", "sha256:1")
    assert one.key == other.key
    assert OciImage("one.example/a", "sha256:2").key != one.key
