"""The ciphers that stand in for asyncssh's: the same bytes, and everything else refused."""

import os

import pytest
from asyncssh.encryption import ChachaEncryption, Encryption, GCMEncryption, get_encryption

from alcove.gateway.algorithms import options
from alcove.gateway.ciphers import ChaCha, Gcm
from alcove.gateway.connection import Server
from tests.core.world import SECRET
from tests.gateway.reached import Reached

API = "api@127.0.0.1"
KEY, IV = bytes(range(64)), bytes(range(8)) + b"\xff\xff\xff\xfe"
PAIRS = [
    (Gcm.new("aes128-gcm", KEY[:16], IV), GCMEncryption.new("aes128-gcm", KEY[:16], IV)),
    (Gcm.new("aes256-gcm", KEY[:32], IV), GCMEncryption.new("aes256-gcm", KEY[:32], IV)),
    (ChaCha.new("", KEY, b""), ChachaEncryption.new("chacha20-poly1305", KEY, b"")),
]
BOTH = pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=["gcm-128", "gcm-256", "chacha"])


@BOTH
def test_a_packet_is_what_asyncssh_would_make_of_it(ours: Encryption, theirs: Encryption) -> None:
    for number in (0, 1, 2, 0xFFFFFFFF):
        header, packet = os.urandom(4), os.urandom(4096 + number % 5)
        made = b"".join(ours.encrypt_packet(number, header, packet))
        assert made == b"".join(theirs.encrypt_packet(number, header, packet))


@pytest.mark.parametrize("name", ["aes128-gcm", "aes256-gcm", "chacha20-poly1305"])
def test_what_was_sealed_is_opened_and_nothing_else_is(name: str) -> None:
    one, other = (_made(name) for _ in range(2))
    for number in range(3):
        sealed = b"".join(one.encrypt_packet(number, b"\0\0\0\x40", b"p" * 64))
        assert _opened(other, number, sealed) == b"p" * 64
    for at in (0, 10, -1):
        spoiled = bytearray(b"".join(one.encrypt_packet(3, b"\0\0\0\x40", b"p" * 64)))
        spoiled[at] ^= 1
        assert _opened(_made(name), 3, bytes(spoiled)) is None


def test_connections_use_ours() -> None:
    options(SECRET, server=Server)
    assert isinstance(get_encryption(b"aes128-gcm@openssh.com", KEY[:16], IV), Gcm)
    assert isinstance(get_encryption(b"aes256-gcm@openssh.com", KEY[:32], IV), Gcm)
    assert isinstance(get_encryption(b"chacha20-poly1305@openssh.com", KEY, b""), ChaCha)


@pytest.mark.parametrize(
    "cipher", ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"]
)
async def test_bytes_go_both_ways_and_over_new_keys(ssh: Reached, cipher: str) -> None:
    sent = os.urandom(3 << 20)
    said = await ssh.ssh("-c", cipher, "-o", "RekeyLimit=1M", API, "cat", input=sent)
    assert said.out == sent


async def test_no_empty_packets_go_before_others(ssh: Reached) -> None:
    said = await ssh.ssh("-vvv", API, "echo out")
    assert "receive packet: type" in said.err
    assert "MSG_IGNORE" not in said.err
    assert "receive packet: type 2\n" not in said.err


def _made(name: str) -> Encryption:
    """As a new connection has it."""
    if name == "chacha20-poly1305":
        return ChaCha.new(name, KEY, b"")
    return Gcm.new(name, KEY[: 16 if name == "aes128-gcm" else 32], IV)


def _opened(cipher: Encryption, number: int, sealed: bytes) -> bytes | None:
    first, rest, mac = sealed[:8], sealed[8:-16], sealed[-16:]
    cipher.decrypt_header(number, first, 4)
    return cipher.decrypt_packet(number, first, rest, 4, mac)
