"""What is read of references, apt's sources and build output: tables, no I/O."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcove.host.images import reference as references
from alcove.host.images import sources
from alcove.host.images.oci import environment
from alcove.host.images.recipe import AptSteps, FoundationSteps
from alcove.host.images.sources import Entry, HostApt
from alcove.host.settings import HostSettings
from alcove.model.errors import DriverError

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("python:3.13", "docker.io/library/python:3.13"),
        ("bitnami/redis", "docker.io/bitnami/redis:latest"),
        ("r.example.com/dev/python", "r.example.com/dev/python:latest"),
        ("localhost:5000/x:1", "localhost:5000/x:1"),
        (f"r.example.com/x@{DIGEST}", f"r.example.com/x@{DIGEST}"),
        (f"r.example.com/x:1@{DIGEST}", f"r.example.com/x@{DIGEST}"),
    ],
)
def test_a_reference_is_completed(text: str, read: str) -> None:
    assert str(references.parse(text)) == read


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-x",
        "--help",
        "docker://r.example.com/x",
        "oci:/etc",
        "r.example.com/../x",
        "r.example.com/x y",
        "r.example.com/x\n",
        "r.example.com/X",
        "r.example.com/x@sha256:123",
        "r.example.com//x",
        "[::1]/x",
        "user@r.example.com/x",
        "r.example.com/" + "x" * 500,
    ],
)
def test_what_is_not_a_reference_is_refused(text: str) -> None:
    with pytest.raises(DriverError, match="not an image reference"):
        references.parse(text)


@given(st.text(max_size=60))
def test_a_reference_that_is_read_is_no_option_and_no_transport(text: str) -> None:
    try:
        ref = references.parse(text)
    except DriverError:
        return
    assert not str(ref).startswith("-")
    assert "//" not in str(ref)
    assert ".." not in str(ref).split("/")
    assert references.parse(str(ref)) == ref or ref.digest


def test_both_formats_of_apts_sources_are_read() -> None:
    old = (
        "# x\ndeb [arch=amd64 signed-by=/k.gpg] http://m/debian bookworm main contrib\ndeb-src x y"
    )
    new = "Types: deb\n# c\nURIs: http://m/debian\nSuites: bookworm\n bookworm-updates\n"
    new += "Components: main\n\nTypes: deb\nEnabled: no\nURIs: http://n\nSuites: x\n"
    assert list(sources.one_line_entries(old)) == [
        Entry("http://m/debian", ("bookworm",), ("main", "contrib"), "/k.gpg")
    ]
    assert list(sources.deb822_entries(new)) == [
        Entry("http://m/debian", ("bookworm", "bookworm-updates"), ("main",), "")
    ]


def test_the_mirror_of_the_host_is_used_but_not_foreign_archives() -> None:
    host = HostApt(
        (
            Entry("https://deb.nodesource.com/node_20.x", ("nodistro",), ("main",)),
            Entry("https://apt.example.com/debian", ("x",), ("main",), "/usr/share/other.gpg"),
            Entry("http://near/debian", ("bookworm",), ("main",)),
            Entry("http://near/debian-security", ("bookworm-security",), ("main",)),
        )
    )
    lines = sources.lines_for("trixie", HostSettings(), host)
    assert [line.split("] ")[1] for line in lines] == [
        "http://near/debian trixie main",
        "http://near/debian trixie-updates main",
        "http://near/debian-security trixie-security main",
    ]


def test_the_operators_mirror_wins() -> None:
    told = HostSettings(debian_mirror="https://mirror/debian https://mirror/security")
    lines = sources.lines_for("bookworm", told, HostApt())
    assert "https://mirror/debian bookworm main" in lines[0]
    assert "https://mirror/security bookworm-security main" in lines[2]


@pytest.mark.parametrize("mirror", ["file:///x", "https://a b c", "https://x\ndeb evil", "x"])
def test_a_mirror_that_is_none_is_refused(mirror: str) -> None:
    with pytest.raises(DriverError, match="debian_mirror"):
        sources.lines_for("bookworm", HostSettings(debian_mirror=mirror), HostApt())


def test_every_line_is_signed_by_debians_key() -> None:
    for line in sources.lines_for("sid", HostSettings(), HostApt()):
        assert f"signed-by={sources.KEYRING}" in line


def test_the_progress_of_apt_is_a_sentence() -> None:
    said: list[str] = []
    steps = AptSteps("installing packages", said.append)
    assert steps.read("pmstatus:git:34.2857:Unpacking git (amd64)")
    assert steps.read("pmstatus:libc6:amd64:50.0000:Configuring")
    assert steps.read("dlstatus:7:12.5:Retrieving file 7 of 20")
    assert said == [f"installing packages {share} %" for share in (34, 50, 12)]


def test_the_reason_of_a_failed_fetch_is_apts_own() -> None:
    steps = AptSteps("fetching packages", lambda _: None)
    steps.read("E: Failed to fetch http://m/x  Could not connect")
    assert steps.reason(100).endswith("Failed to fetch http://m/x  Could not connect")
    assert steps.worth_retrying


def test_an_unknown_suite_is_told_as_such() -> None:
    steps = FoundationSteps("nonesuch", lambda _: None)
    steps.read(
        "E: The repository 'http://m/debian nonesuch Release' does not have a Release file."
    )
    assert "no suite 'nonesuch'" in steps.reason(1)


def test_only_variables_are_taken_from_an_images_environment() -> None:
    assert environment(["A=1", "B", "C-D=2", 7, "E=x=y", "F=a\0b"]) == {"A": "1", "E": "x=y"}
    assert environment("A=1") == {}
