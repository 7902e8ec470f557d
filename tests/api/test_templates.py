"""The catalog over HTTP: pushing as JSON and as tar, and hostile archives."""

import io
import tarfile

import pytest

from tests.api.served import MAX, Served

T = "/api/v2/templates"
TEXT = "name: web\ndescription: For the web\nimage: {debian: bookworm, packages: [git]}\n"
TAR = {"content-type": "application/x-tar"}


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def plain(name: str, data: bytes = b"x") -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(name), data


async def test_a_template_is_pushed_promoted_and_found(api_on: Served) -> None:
    client = await api_on.client(MAX)
    pushed = await client.post(f"{T}/web/versions", json={"files": {"template.yaml": TEXT}})
    assert pushed.status_code == 201, pushed.text
    assert (pushed.json()["number"], pushed.json()["active"]) == (1, False)
    promoted = await client.post(f"{T}/web/versions/1/promote")
    assert promoted.json()["active"] == 1
    listed = (await client.get(T)).json()["items"]
    assert [t["name"] for t in listed] == ["agent", "python", "web"]
    versions = (await client.get(f"{T}/web/versions")).json()["items"]
    assert [(v["number"], v["created_by"]) for v in versions] == [(1, "max")]


async def test_the_same_files_answer_the_version_that_has_them(api: Served) -> None:
    client = await api.client(MAX)
    body = {"files": {"template.yaml": TEXT}}
    assert (await client.post(f"{T}/web/versions", json=body)).status_code == 201
    again = await client.post(f"{T}/web/versions", json=body)
    assert (again.status_code, again.json()["number"]) == (200, 1)


async def test_a_tar_is_pushed_like_files(api: Served) -> None:
    client = await api.client(MAX)
    archive = tar_of(plain("./template.yaml", TEXT.encode()), plain("setup.sh", b"#!/bin/sh\n"))
    answer = await client.post(f"{T}/web/versions?promote=true", content=archive, headers=TAR)
    assert answer.status_code == 201, answer.text
    assert answer.json()["active"] is True


def special(name: str, kind: bytes, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member, b""


@pytest.mark.parametrize(
    "member",
    [
        plain("../evil"),
        plain("/evil"),
        plain("a/../../evil"),
        plain("a//b"),
        plain("a\\b"),
        plain("a\x07b"),
        special("link", tarfile.SYMTYPE, "/etc/passwd"),
        special("link", tarfile.LNKTYPE, "template.yaml"),
        special("device", tarfile.CHRTYPE),
        special("pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda member: repr(member[0].name) + str(member[0].type),
)
async def test_a_hostile_member_is_refused(
    api: Served, member: tuple[tarfile.TarInfo, bytes]
) -> None:
    archive = tar_of(plain("template.yaml", TEXT.encode()), member)
    client = await api.client(MAX)
    answer = await client.post(f"{T}/web/versions", content=archive, headers=TAR)
    assert answer.status_code == 422, answer.text
    assert (await client.get(f"{T}/web")).status_code == 404


async def test_a_name_that_stands_twice_is_refused(api: Served) -> None:
    archive = tar_of(plain("template.yaml", TEXT.encode()), plain("template.yaml", b"other"))
    client = await api.client(MAX)
    answer = await client.post(f"{T}/web/versions", content=archive, headers=TAR)
    assert answer.status_code == 422


@pytest.mark.parametrize("raw", [b"", b"nonsense", b"\x1f\x8b\x08" + b"\0" * 600, b"x" * 2048])
async def test_what_is_no_plain_tar_is_refused(api: Served, raw: bytes) -> None:
    client = await api.client(MAX)
    answer = await client.post(f"{T}/web/versions", content=raw, headers=TAR)
    assert answer.status_code == 422, answer.text


async def test_a_cut_off_tar_is_refused(api: Served) -> None:
    archive = tar_of(plain("template.yaml", TEXT.encode()), plain("big", b"x" * 100_000))
    client = await api.client(MAX)
    answer = await client.post(f"{T}/web/versions", content=archive[:20_000], headers=TAR)
    assert answer.status_code == 422


async def test_a_member_that_claims_a_huge_size_costs_nothing(api: Served) -> None:
    member = tarfile.TarInfo("big")
    member.size = 1 << 40
    client = await api.client(MAX)
    raw = member.tobuf() + b"\0" * 1024
    answer = await client.post(f"{T}/web/versions", content=raw, headers=TAR)
    assert answer.status_code == 422


async def test_a_wrong_template_names_line_and_field(api: Served) -> None:
    text = TEXT + "isolation: nothing\n"
    client = await api.client(MAX)
    answer = await client.post(f"{T}/web/versions", json={"files": {"template.yaml": text}})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "template.yaml:4: isolation"


async def test_linting_stores_nothing(api: Served) -> None:
    client = await api.client(MAX)
    body = {"files": {"template.yaml": TEXT + "isolation: nothing\n"}, "name": "web"}
    answer = (await client.post(f"{T}/lint", json=body)).json()
    assert answer["ok"] is False
    assert answer["problems"][0]["line"] == 4
    assert (await client.get(f"{T}/web")).status_code == 404


async def test_files_that_are_not_base64_are_refused_by_field(api: Served) -> None:
    client = await api.client(MAX)
    body = {"files": {"template.yaml": TEXT}, "files_base64": {"icon.png": "not base64!"}}
    answer = await client.post(f"{T}/web/versions", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "files_base64"


async def test_a_dry_run_tells_what_would_be(api: Served) -> None:
    client = await api.client()
    answer = await client.post(f"{T}/python/render", json={"parameters": {"cpu": 4}})
    assert answer.status_code == 200, answer.text
    assert answer.json()["parameters"]["cpu"] == 4
    refused = await client.post(f"{T}/python/render", json={"parameters": {"cpu": 99}})
    assert refused.json()["errors"][0]["field"] == "parameters.cpu"
    assert (await client.get("/api/v2/workspaces")).json()["items"] == []


async def test_the_schema_is_public(api: Served) -> None:
    answer = await api.bare().get("/schemas/template.json")
    assert answer.headers["content-type"] == "application/schema+json"
    assert answer.json()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
