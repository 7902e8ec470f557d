"""The privileged process's language: strict in what it takes, and calm whatever comes."""

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alcove.host import protocol
from alcove.host.specs import check
from alcove.model.errors import DriverError, Invalid, Unsupported
from alcove.model.workspace import SnapshotId, WorkspaceId
from tests.host.installation import Installation, a_spec

BOX = WorkspaceId("ws-abcdefgh23456723")
KEPT = SnapshotId("sn-abcdefgh23456723")
REQUESTS: list[protocol.Request] = [
    protocol.Hello(),
    protocol.GetCapabilities(),
    protocol.Observe(BOX),
    protocol.Create(BOX, a_spec(), "0" * 64),
    protocol.Start(BOX, a_spec(), "f" * 64),
    protocol.Approve(BOX, "0" * 32),
    protocol.Stop(BOX, 10.0),
    protocol.Destroy(BOX),
    protocol.Adopt(BOX, a_spec()),
    protocol.Pause(BOX),
    protocol.Resume(BOX),
    protocol.TakeSnapshot(BOX, KEPT),
    protocol.GetSnapshots(),
    protocol.DropSnapshot(KEPT),
    protocol.GetUsage((BOX,)),
    protocol.GetInventory(),
    protocol.Pin("registry.example.com/a:1"),
    protocol.PrepareImage(a_spec().image),
    protocol.GetImages(),
    protocol.CollectImages(("0" * 32,)),
    protocol.ImageLog("0" * 32),
]
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def _plain(request: protocol.Request) -> dict[str, Any]:
    return json.loads(protocol.write_request(request)[4:])


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():  # pyright: ignore[reportUnknownVariableType]
            yield from _paths(inner, (*path, key))  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(value, list):
        for index, inner in enumerate(value):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            yield from _paths(inner, (*path, index))


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda r: r.verb)
def test_a_request_survives_the_way(request_: protocol.Request) -> None:
    assert protocol.read_request(protocol.write_request(request_)[4:]) == request_


def test_every_verb_is_in_these_tests() -> None:
    assert {type(r) for r in REQUESTS} == set(protocol.Request.__args__)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda r: r.verb)
def test_an_unknown_field_is_refused(request_: protocol.Request) -> None:
    body = json.dumps({**_plain(request_), "path": "/etc/shadow"}).encode()
    with pytest.raises(Invalid):
        protocol.read_request(body)


def test_an_unknown_field_within_a_spec_is_refused() -> None:
    plain = _plain(protocol.Create(BOX, a_spec(), "0" * 64))
    plain["spec"]["mounts"] = ["/"]
    with pytest.raises(Invalid, match="fields that the verb does not have"):
        protocol.read_request(json.dumps(plain).encode())


@pytest.mark.parametrize(
    "id_",
    ["", "..", "ws-", "ws-../../../../etc/x", "ws-ABCDEFGH23456723", "ws-abcdefgh2345672",
     "ws-abcdefgh23456723/", "ws-abcdefgh23456723\n", "ws-abcdefgh2345672\x00"],
)  # fmt: skip
def test_what_is_no_workspace_id_is_refused(id_: str) -> None:
    body = json.dumps({"verb": "destroy", "workspace": id_}).encode()
    with pytest.raises(Invalid, match="workspace"):
        protocol.read_request(body)


@pytest.mark.parametrize(
    "id_",
    ["", "..", "sn-", "sn-../../../../etc/x", "sn-ABCDEFGH23456723", "ws-abcdefgh23456723",
     "sn-abcdefgh2345672", "sn-abcdefgh23456723/", "sn-abcdefgh23456723\n", "sn-abcdefgh234567.n"],
)  # fmt: skip
def test_what_is_no_snapshot_id_is_refused(id_: str) -> None:
    for plain in (
        {"verb": "drop_snapshot", "snapshot": id_},
        {"verb": "take_snapshot", "workspace": BOX, "snapshot": id_},
    ):
        with pytest.raises(Invalid, match="snapshot"):
            protocol.read_request(json.dumps(plain).encode())
    with pytest.raises(Invalid, match="is not the id of a snapshot"):
        check(replace(a_spec(), snapshot=SnapshotId(id_)))


@pytest.mark.parametrize("grace", [-1, 601, 1e300, "1", None, True])
def test_an_absurd_grace_is_refused(grace: object) -> None:
    body = json.dumps({"verb": "stop", "workspace": BOX, "grace_s": grace}).encode()
    with pytest.raises(Invalid):
        protocol.read_request(body)


def test_a_type_that_would_have_to_be_bent_is_refused() -> None:
    plain = _plain(protocol.Create(BOX, a_spec(), "0" * 64))
    plain["spec"]["resources"]["memory_mib"] = "256"
    with pytest.raises(Invalid, match="memory_mib"):
        protocol.read_request(json.dumps(plain).encode())


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_invalid(body: bytes) -> None:
    try:
        protocol.read_request(body)
    except Invalid:
        return


@given(_json)
def test_any_json_is_a_request_or_invalid(value: object) -> None:
    try:
        protocol.read_request(json.dumps(value).encode())
    except Invalid:
        return


@given(st.data())
@settings(max_examples=300)
def test_a_request_with_any_part_replaced_is_a_request_or_invalid(data: st.DataObject) -> None:
    plain: Any = _plain(data.draw(st.sampled_from(REQUESTS)))
    path = data.draw(st.sampled_from([p for p in _paths(plain) if p]))
    at = plain
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = data.draw(_json)
    try:
        request = protocol.read_request(json.dumps(plain).encode())
    except Invalid:
        return
    assert protocol.read_request(protocol.write_request(request)[4:]) == request


@pytest.mark.parametrize(
    "error",
    [DriverError("a", retry=True), DriverError("b", retry=False), Unsupported("c"), Invalid("d")],
)
def test_an_error_arrives_as_it_was_raised(error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)) as raised:
        protocol.read_answer(protocol.write_error(error)[4:], protocol.NOTHING)  # pyright: ignore[reportArgumentType]
    assert getattr(raised.value, "retry", None) == getattr(error, "retry", None)


@given(st.binary(max_size=200))
def test_any_answer_is_read_or_refused(body: bytes) -> None:
    try:
        protocol.read_answer(body, protocol.LOOK)
    except (DriverError, Unsupported, Invalid, protocol.Malformed, ValueError):
        return


def test_a_spec_is_checked_again_on_the_privileged_side() -> None:
    odd = protocol.Create(BOX, replace(a_spec(), hostname="a b"), "0" * 64)
    assert protocol.read_request(protocol.write_request(odd)[4:]) == odd


@pytest.mark.root
class TestTheSocket:
    """The running process, spoken to directly."""

    def _dial(self, installation: Installation) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        # Without a timeout it waits for its turn when many dial at once.
        connection.connect(str(installation.data_dir / "run/host.sock"))
        connection.settimeout(20)
        return connection

    def _goes_on(self, installation: Installation) -> bool:
        with self._dial(installation) as connection:
            connection.sendall(protocol.write_request(protocol.Hello()))
            body = protocol.receive(connection)
            assert body is not None
            welcome = protocol.read_answer(body, protocol.WELCOME)
            return bool(welcome.instance == installation.name)

    @given(st.binary(min_size=1, max_size=300))
    @settings(
        max_examples=100,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    def test_it_goes_on_after_any_bytes(
        self, shared_installation: Installation, data: bytes
    ) -> None:
        with self._dial(shared_installation) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):  # closed with some of it unread
                while connection.recv(65536):
                    pass
        assert self._goes_on(shared_installation)

    @given(_json)
    @settings(
        max_examples=100,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    def test_any_framed_json_has_an_answer(
        self, shared_installation: Installation, value: object
    ) -> None:
        with self._dial(shared_installation) as connection:
            connection.sendall(protocol.frame(json.dumps(value).encode()))
            assert protocol.receive(connection) is not None
        assert self._goes_on(shared_installation)

    def test_an_absurd_length_closes_the_connection(
        self, shared_installation: Installation
    ) -> None:
        with self._dial(shared_installation) as connection:
            connection.sendall(struct.pack("!I", 0xFFFFFFFF))
            assert connection.recv(1) == b""
        assert self._goes_on(shared_installation)

    def test_what_the_server_would_never_send_is_refused_too(
        self, shared_installation: Installation
    ) -> None:
        odd = protocol.Create(BOX, replace(a_spec(), user="../root"), "0" * 64)
        with self._dial(shared_installation) as connection:
            connection.sendall(protocol.write_request(odd))
            body = protocol.receive(connection)
            assert body is not None
            with pytest.raises(Invalid, match="not the name of a user"):
                protocol.read_answer(body, protocol.STARTED)

    def test_other_users_of_the_host_cannot_speak_to_it(
        self, shared_installation: Installation
    ) -> None:
        path = shared_installation.data_dir / "run/host.sock"
        assert path.stat().st_mode & 0o777 == 0o660
        assert path.parent.stat().st_mode & 0o022 == 0

    def test_it_ends_on_sigterm_although_clients_hold_every_place(
        self, crash_installation: Installation
    ) -> None:
        clients = [self._dial(crash_installation) for _ in range(64)]
        crash_installation.end()
        for client in clients:
            client.close()
        crash_installation.up()
        assert self._goes_on(crash_installation)
