"""The catalog: versions are immutable, pinned, promoted and rolled back."""

import pytest

from alcove.core import templates
from alcove.core.pages import PageRequest
from alcove.model.errors import Denied, Invalid, NotFound
from alcove.model.image import OciImage
from alcove.wire.workspaces import NewWorkspace
from tests.core.world import ADA, ROOT, World

ONE = b"description: One\nimage: {debian: bookworm}\n"
TWO = b"description: Two\nimage: {debian: bookworm}\n"


async def _push(world: World, text: bytes, **options: object) -> templates.Pushed:
    files = {"template.yaml": text}
    return await templates.push(world.core, ROOT, name="tool", files=files, **options)  # pyright: ignore[reportArgumentType]


async def test_a_version_is_pushed_and_then_promoted(world: World) -> None:
    pushed = await _push(world, ONE, message="first")
    assert (pushed.version.number, pushed.active, pushed.fresh) == (1, False, True)
    with pytest.raises(Exception, match="no promoted version"):
        await world.create(template="tool")
    await templates.promote(world.core, ROOT, "tool", 1)
    assert (await world.create(template="tool")).template_version == 1


async def test_the_same_files_again_are_the_same_version(world: World) -> None:
    await _push(world, ONE)
    again = await _push(world, ONE, promote=True)
    assert (again.version.number, again.fresh, again.active) == (1, False, True)
    other = await _push(world, TWO)
    assert (other.version.number, other.active) == (2, False)
    back = await _push(world, ONE)
    assert back.version.number == 3


async def test_promoting_an_older_version_rolls_back(world: World) -> None:
    await _push(world, ONE, promote=True)
    await _push(world, TWO, promote=True)
    await templates.promote(world.core, ROOT, "tool", 1)
    assert (await templates.get(world.core, ADA, "tool")).version.number == 1
    told = [e.detail for e in await world.events() if e.kind == "template.promoted"]
    assert [(d["version"], d["before"]) for d in told] == [(1, None), (2, 1), (1, 2)]


async def test_only_admins_push_and_everybody_reads(world: World) -> None:
    with pytest.raises(Denied):
        await templates.push(world.core, ADA, name="x", files={"template.yaml": ONE})
    with pytest.raises(Denied):
        await templates.promote(world.core, ADA, "python", 1)
    page = await templates.find(world.core, ADA, PageRequest())
    assert [entry.template.name for entry in page.items] == ["agent", "python"]


async def test_all_problems_are_named_with_their_lines(world: World) -> None:
    with pytest.raises(Invalid) as caught:
        await _push(world, b"image: {debian: nowhere}\nuser: '-x'\nbogus: 1\n")
    fields = [error.field for error in caught.value.errors]
    assert len(fields) >= 3
    assert all(field.startswith("template.yaml:") for field in fields)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../b", ""])
async def test_a_path_out_of_the_directory_is_refused(world: World, path: str) -> None:
    files = {"template.yaml": ONE, path: b""}
    with pytest.raises(Invalid, match="not a path below"):
        await templates.push(world.core, ROOT, name="tool", files=files)


async def test_too_much_is_refused(world: World) -> None:
    big = {"template.yaml": ONE, "big": b"x" * (5 << 20)}
    with pytest.raises(Invalid, match="larger than 4 MiB"):
        await templates.push(world.core, ROOT, name="tool", files=big)
    many = {f"f{n}": b"" for n in range(1001)}
    with pytest.raises(Invalid, match="at most 1000"):
        await templates.push(world.core, ROOT, name="tool", files=many)


async def test_a_tag_is_pinned_for_good(world: World) -> None:
    text = b"description: x\nimage: {oci: 'registry.example.com/dev/python:3.13'}\n"
    pushed = await _push(world, text)
    image = pushed.version.recipe.image
    assert isinstance(image, OciImage)
    assert image.digest == "sha256:" + "0" * 64


async def test_a_tag_that_does_not_exist_is_the_authors_fault(world: World) -> None:
    text = b"description: x\nimage: {oci: 'registry.example.com/dev/missing:1'}\n"
    with pytest.raises(Invalid, match=r"image\.oci: .*no such image"):
        await _push(world, text)


async def test_what_was_pushed_can_be_read_again(world: World) -> None:
    await _push(world, ONE)
    assert await templates.files(world.core, ROOT, "tool", 1) == {"template.yaml": ONE}


async def test_versions_come_newest_first_in_pages(world: World) -> None:
    for number in range(5):
        await _push(world, ONE + f"env: {{N: n{number}}}\n".encode())
    first = await templates.versions(world.core, ADA, "tool", PageRequest(2))
    cursor = first.next_cursor
    rest = await templates.versions(world.core, ADA, "tool", PageRequest(50, cursor))
    assert [v.number for v in (*first.items, *rest.items)] == [5, 4, 3, 2, 1]


async def test_what_is_not_there_is_named(world: World) -> None:
    await _push(world, ONE)
    with pytest.raises(NotFound, match="no version 9; latest is 1"):
        await templates.promote(world.core, ROOT, "tool", 9)
    with pytest.raises(NotFound, match="no template 'nope'"):
        await templates.get(world.core, ADA, "nope")


async def test_a_dry_run_tells_what_would_be_made(world: World) -> None:
    request = NewWorkspace.model_validate({"template": "python", "parameters": {"cpu": 4}})
    version, made = await templates.render_dry(world.core, ADA, "python", request)
    assert (version.number, made.spec.resources.cpu_millis) == (1, 4000)
    assert [e for e in await world.events() if e.kind == "workspace.created"] == []
