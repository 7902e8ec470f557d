"""What strangers may do to the gateway: nothing that others would feel."""

import socket
from contextlib import suppress

import anyio
import anyio.lowlevel
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from alcove.core import ssh_sign_in
from alcove.gateway import limits
from alcove.gateway.limits import Doorway, source_of
from alcove.gateway.session import may_set
from alcove.model.errors import Unauthenticated
from tests.conftest import MovedClock
from tests.core.world import World
from tests.gateway.reached import Reached, run

HOST = "127.0.0.1"
API = f"api@{HOST}"


@pytest.fixture
def doorway(world: World) -> Doorway:
    return Doorway(world.core)


def _nothing() -> None: ...


async def test_one_address_takes_no_more_than_its_share(doorway: Doorway) -> None:
    places = [doorway.admit("192.0.2.1", _nothing) for _ in range(limits.PER_ADDRESS_MAX + 1)]
    assert places[-2] is not None
    assert places[-1] is None
    assert doorway.admit("192.0.2.2", _nothing) is not None


async def test_when_all_places_are_taken_the_greediest_loses_its_oldest(doorway: Doorway) -> None:
    ended: list[str] = []
    for number in range(limits.UNPROVEN_MAX):
        source = "192.0.2.1" if number < limits.PER_ADDRESS_MAX else f"198.51.100.{number % 200}"
        doorway.admit(source, lambda source=source: ended.append(source))
    assert doorway.admit("203.0.113.9", _nothing) is not None
    assert ended == ["192.0.2.1"]
    assert doorway.strangers == limits.UNPROVEN_MAX


async def test_who_fails_too_often_is_not_answered_for_a_while(
    doorway: Doorway, clock: MovedClock
) -> None:
    for _ in range(limits.REFUSED_PER_MINUTE + 1):
        place = doorway.admit("192.0.2.1", _nothing)
        assert place is not None
        doorway.gone(place)
    assert doorway.admit("192.0.2.1", _nothing) is None
    assert doorway.admit("192.0.2.2", _nothing) is not None
    clock.move(seconds=5)
    assert doorway.admit("192.0.2.1", _nothing) is not None


async def test_who_proved_themselves_does_not_count(doorway: Doorway) -> None:
    for _ in range(limits.NEW_BURST):
        place = doorway.admit("192.0.2.1", _nothing)
        assert place is not None
        doorway.proven(place)
        doorway.gone(place)
    assert doorway.strangers == 0


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_an_ipv6_customer_is_one_source(address: str, source: str) -> None:
    assert source_of(address) == source


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        (b"LANG", True),
        (b"LC_ALL", True),
        (b"COLORTERM", True),
        (b"GIT_PROTOCOL", True),
        (b"FEATURE_1", True),
        (b"PATH", False),
        (b"LD_PRELOAD", False),
        (b"ALCOVE_TOKEN", False),
        (b"SSH_AUTH_SOCK", False),
        (b"HOME", False),
        (b"A-B", False),
        (b"", False),
        (b"A=B", False),
    ],
)
def test_which_variables_a_client_may_set(name: bytes, taken: bool) -> None:
    assert may_set(name, b"x") is taken
    assert not may_set(name, b"a\0b")


async def test_ten_thousand_wrong_keys_are_refused_soon(world: World) -> None:
    """At the place where keys are looked up, without the network before it."""
    with anyio.fail_after(100):
        for _ in range(10_000):
            public = Ed25519PrivateKey.generate().public_key()
            raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
            data = b"\0\0\0\x0bssh-ed25519\0\0\0 " + raw
            with pytest.raises(Unauthenticated):
                await ssh_sign_in.look_up(world.core, data, address="192.0.2.1")


async def test_a_client_with_many_wrong_keys_is_sent_away(ssh: Reached) -> None:
    keys: list[str] = []
    for number in range(25):
        keys += ["-i", str(await ssh.key(f"wrong-{number}", owner=None))]
    command = ssh.command(API, "true")
    at = command.index("-i")
    said = await run(*command[:at], *keys, *command[at + 2 :], check=False)
    assert said.code == 255
    assert "too many tries" in said.err


async def test_while_many_say_nothing_others_come_in(ssh: Reached) -> None:
    held = [socket.create_connection((HOST, ssh.port)) for _ in range(100)]
    try:
        assert (await ssh.ssh(API, "echo in")).out == b"in\n"
    finally:
        for one in held:
            one.close()


async def test_a_flood_is_dropped_at_the_door_and_others_come_in(ssh: Reached) -> None:
    """From 127.0.0.2; the people are at 127.0.0.1."""

    async def knock(times: int) -> None:
        for _ in range(times):
            with socket.socket() as one:
                one.bind(("127.0.0.2", 0))
                one.setblocking(False)
                with suppress(BlockingIOError):
                    one.connect((HOST, ssh.port))
                await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(knock, 2000)
        assert (await ssh.ssh(API, "echo in")).out == b"in\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\0" * 5000,
        b"SSH-1.0-old\r\n",
        b"SSH-2.0-x\r\n" + b"\xff" * 5000,
        b"x" * 100_000,
    ],
)
async def test_what_is_not_ssh_is_closed(gate: Reached, sent: bytes) -> None:
    stream = await anyio.connect_tcp(HOST, gate.port)
    async with stream:
        with anyio.fail_after(30):
            try:
                await stream.send(sent)
                while True:
                    await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass


@pytest.mark.parametrize(
    ("option", "weak"),
    [
        ("KexAlgorithms", "diffie-hellman-group14-sha1"),
        ("Ciphers", "aes128-cbc"),
        ("Ciphers", "3des-cbc"),
        ("MACs", "hmac-sha1"),
        ("HostKeyAlgorithms", "ssh-rsa"),
    ],
)
async def test_weak_algorithms_are_not_spoken(ssh: Reached, option: str, weak: str) -> None:
    more = ["-o", "Ciphers=aes128-ctr"] if option == "MACs" else []
    said = await ssh.ssh("-o", f"{option}={weak}", *more, API, "true")
    assert "no matching" in said.err


async def test_key_exchange_is_strict_and_gcm_comes_first(ssh: Reached) -> None:
    said = await ssh.ssh("-vvv", API, "true")
    assert "will use strict KEX ordering" in said.err
    offered = [line for line in said.err.splitlines() if "ciphers stoc: " in line][1]
    assert offered.partition("stoc: ")[2].startswith("aes128-gcm@openssh.com,")


async def test_a_hundred_at_once_come_in(ssh: Reached) -> None:
    codes: list[int] = []

    async def one() -> None:
        codes.append((await ssh.ssh(API, "true")).code)

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(one)
    assert codes == [0] * 100
