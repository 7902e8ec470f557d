"""The pure parts: metadata as labels, whom a request is for, envelopes, what is asked for."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcove.api.compat.e2b import asking, envelopes, shapes
from alcove.api.compat.e2b.metadata import from_labels, to_labels
from alcove.api.compat.e2b.routing import API, Target, at_root, by_host, by_request
from alcove.core import envd
from alcove.http.problem import HttpError
from alcove.model.errors import Invalid, NotFound, Unsupported
from alcove.model.workspace import NetworkMode, OnExpiry
from alcove.wire.workspaces import NewWorkspace

ID = "ws-aaaaaaaaaaaaaaaa"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(st.dictionaries(TEXT, TEXT, max_size=8))
def test_any_metadata_comes_back_as_it_was(metadata: dict[str, str]) -> None:
    labels = to_labels(metadata)
    assert from_labels(labels) == metadata
    NewWorkspace(template="x", labels=labels)


def test_what_is_a_label_already_is_one() -> None:
    assert to_labels({"team": "core"}) == {"team": "core"}
    assert "e2b.public-traffic" not in to_labels({"e2b.public-traffic": "true"})


def test_too_much_metadata_is_refused() -> None:
    with pytest.raises(Invalid, match="metadata"):
        to_labels({"key": "x" * 4000})
    with pytest.raises(Invalid, match="metadata"):
        to_labels({f"k{n}": "v" for n in range(64)})


def test_labels_that_were_broken_by_hand_do_not_break_the_rest() -> None:
    labels = to_labels({"team": "core", "odd key": "x"})
    assert from_labels({**labels, "e2b.metadata/0": "*"}) == {"team": "core"}


@pytest.mark.parametrize(
    ("headers", "path", "wanted"),
    [
        ({}, "/v2/sandboxes", API),
        ({"e2b-sandbox-id": ID, "e2b-sandbox-port": "49983"}, "/sandboxes/x/connect", API),
        ({"e2b-sandbox-id": ID}, "/files", Target(ID, 49983, "/files")),
        ({"e2b-sandbox-id": ID}, "/init", Target(ID, 49983, "/init")),
        ({"e2b-sandbox-id": ID, "e2b-sandbox-port": "80"}, "/v2/x", Target(ID, 80, "/v2/x")),
        ({"e2b-sandbox-id": ID, "e2b-sandbox-port": "0"}, "/files", None),
        ({"e2b-sandbox-id": ID, "e2b-sandbox-port": "65536"}, "/files", None),
        ({"e2b-sandbox-id": ID, "e2b-sandbox-port": "²"}, "/files", None),
        ({}, "/files", Target("", 49983, "/files")),
        ({}, f"/s/80-{ID}/a/b", Target(ID, 80, "/a/b", prefix=f"/s/80-{ID}")),
        ({}, f"/s/80-{ID}", Target(ID, 80, "/", prefix=f"/s/80-{ID}")),
        ({}, "/s/99999-x/a", None),
    ],
)
def test_whom_a_request_at_our_address_is_for(
    headers: dict[str, str], path: str, wanted: object
) -> None:
    assert by_request(headers, path) == wanted


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        ("api.sand.example", API),
        (f"49983-{ID}.sand.example:443", Target(ID, 49983, "/x")),
        (f"80-{ID.upper()}.SAND.example", Target(ID, 80, "/x")),
        ("sand.example", None),
        ("www.sand.example", None),
        (f"80-{ID}.other.example", None),
        (f"80-{ID}.sand.example.other", None),
        (f"0-{ID}.sand.example", None),
        (f"a.80-{ID}.sand.example", None),
    ],
)
def test_whom_a_host_is_for(host: str, wanted: object) -> None:
    assert by_host(host, "sand.example", "/x") == wanted


def test_only_a_signed_url_is_known_at_the_root() -> None:
    assert at_root("/files", "path=a&signature=v1_x") == Target("", 49983, "/files")
    assert at_root("/files", "path=a") is None
    assert at_root("/files", "xsignature=v1_") is None
    assert at_root("/other", "signature=v1_x") is None


@pytest.mark.parametrize("path", ["/init", "/alcove/exec", "/freeze", "/process.Process/Other"])
def test_what_is_not_in_the_list_is_not_relayed(path: str) -> None:
    assert envd.route("POST", path) is None
    assert envd.route("GET", path) is None


@given(st.lists(st.binary(max_size=50), max_size=6), st.integers(1, 9))
def test_the_boundary_is_known_however_the_stream_is_cut(messages: list[bytes], size: int) -> None:
    whole = b"".join(struct.pack(">BI", 0, len(one)) + one for one in messages)
    at = envelopes.Boundary()
    for start in range(0, len(whole), size):
        at.feed(whole[start : start + size])
    assert at.between
    assert not at.ended
    at.feed(b"\0\0")
    assert not at.between
    at = envelopes.Boundary()
    at.feed(envelopes.last("unavailable", "gone"))
    assert at.between
    assert at.ended


@given(st.binary(max_size=200))
def test_any_bytes_are_one_message_or_refused(data: bytes) -> None:
    refused = None
    try:
        envelopes.only(data)
    except HttpError as error:
        refused = error
    assert refused is None or refused.status == 400


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("base", asking.Origin("ai-agent-sandbox")),
        ("base:default", asking.Origin("ai-agent-sandbox")),
        ("python:3", asking.Origin("python", 3)),
        ("python:v3", asking.Origin("python", 3)),
        ("sn-aaaaaaaaaaaaaaaa", asking.Origin("sn-aaaaaaaaaaaaaaaa", snapshot=True)),
        ("sn-aaaaaaaaaaaaaaaa:default", asking.Origin("sn-aaaaaaaaaaaaaaaa", snapshot=True)),
    ],
)
def test_what_a_template_id_names(text: str, wanted: asking.Origin) -> None:
    assert asking.origin(text, {"base": "ai-agent-sandbox"}) == wanted


@pytest.mark.parametrize("text", ["", "a/b", "python:beta", "python:0", "x" * 64, "Python", "a\0"])
def test_what_names_no_template(text: str) -> None:
    with pytest.raises(NotFound):
        asking.origin(text, {})


def asked(**more: Any) -> NewWorkspace:
    new = shapes.NewSandbox(templateID="base", **more)
    return asking.new_workspace(new, asking.Origin("plain"), timeout_s=60)


def test_a_plain_request_leaves_the_rest_to_the_template() -> None:
    assert asked().model_fields_set == {"template", "ttl", "idle_stop", "labels"}
    assert asked().ttl == 60


def test_the_network_is_what_was_asked_for_or_refused() -> None:
    closed = asked(allow_internet_access=False).network
    assert closed is not None
    assert closed.mode is NetworkMode.NONE
    opened = asked(allow_internet_access=True).network
    assert opened is not None
    assert opened.mode is NetworkMode.OPEN
    none = asked(network=shapes.Network(denyOut=["0.0.0.0/0"]), allow_internet_access=True)
    assert none.network is not None
    assert none.network.mode is NetworkMode.NONE
    with pytest.raises(Unsupported, match=r"network\.allowOut"):
        asked(network=shapes.Network(allowOut=["example.com"]))


def test_pausing_at_the_end_is_asked_for_in_our_words() -> None:
    made = asked(autoPause=True, autoResume=shapes.AutoResume(enabled=True))
    assert made.on_expiry is OnExpiry.PAUSE
    assert made.auto_resume is True
    assert asked(autoPause=False).on_expiry is OnExpiry.DELETE


def test_ports_are_private_unless_it_was_asked_for() -> None:
    assert "e2b.public-traffic" not in (asked().labels or {})
    made = asked(network=shapes.Network(allowPublicTraffic=True))
    assert made.labels == {"e2b.public-traffic": "true"}
