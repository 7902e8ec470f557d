"""The ciphers of most connections, with less work for each packet than in asyncssh.

The same bytes on the wire: asyncssh makes the keyed contexts of OpenSSL anew for every packet (for
ChaCha20-Poly1305 four of them), which costs more than the encryption itself; here they are kept.
They take the place of asyncssh's own under its registry of algorithms.
"""

from functools import cache
from typing import Final

from asyncssh.encryption import Encryption, register_encryption_alg
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.poly1305 import Poly1305

TAG_BYTES: Final = 16
_BLOCK: Final = bytes(64)
_FIRST: Final = bytes(8)
"""Of ChaCha20's nonce: the number of the block at which a packet begins."""


class _Authenticated(Encryption):
    """Has a MAC of its own, over the header too."""

    @classmethod
    def needs_mac(cls) -> bool:
        return False

    @classmethod
    def get_mac_params(cls, mac_alg: bytes) -> tuple[int, int, bool]:
        return 0, TAG_BYTES, True


class Gcm(_Authenticated):
    """RFC 5647 as OpenSSH has it: the nonce is 4 fixed bytes and a count of packets."""

    def __init__(self, key: bytes, iv: bytes) -> None:
        self._cipher = AESGCM(key)
        self._fixed = iv[:4]
        self._count = int.from_bytes(iv[4:])

    @classmethod
    def new(
        cls,
        cipher_name: str,
        key: bytes,
        iv: bytes,
        mac_alg: bytes = b"",
        mac_key: bytes = b"",
        etm: bool = False,
    ) -> "Gcm":
        return cls(key, iv)

    def encrypt_packet(self, seq: int, header: bytes, packet: bytes) -> tuple[bytes, bytes]:
        """The tag comes with the packet: what is not cut off need not be put on again."""
        return header + self._cipher.encrypt(self._nonce(), packet, header), b""

    def decrypt_header(self, seq: int, first_block: bytes, header_len: int) -> tuple[bytes, bytes]:
        return first_block, first_block[:header_len]

    def decrypt_packet(
        self, seq: int, first: bytes, rest: bytes, header_len: int, mac: bytes
    ) -> bytes | None:
        """None when it is not genuine."""
        sealed = b"".join((first[header_len:], rest, mac))
        try:
            return self._cipher.decrypt(self._nonce(), sealed, first[:header_len])
        except InvalidTag:
            return None

    def _nonce(self) -> bytes:
        """Never the same one twice."""
        nonce = self._fixed + self._count.to_bytes(8)
        self._count = (self._count + 1) & 0xFFFFFFFFFFFFFFFF
        return nonce


class ChaCha(_Authenticated):
    """chacha20-poly1305@openssh.com: two keys, one of them for the length; the nonce is the
    packet's number, the first block of the stream the key of the MAC."""

    def __init__(self, key: bytes) -> None:
        # Encryption and decryption are the same, and a connection has one of us for each way.
        self._body = Cipher(ChaCha20(key[:32], bytes(16)), None).encryptor()
        self._length = Cipher(ChaCha20(key[32:], bytes(16)), None).encryptor()

    @classmethod
    def new(
        cls,
        cipher_name: str,
        key: bytes,
        iv: bytes,
        mac_alg: bytes = b"",
        mac_key: bytes = b"",
        etm: bool = False,
    ) -> "ChaCha":
        return cls(key)

    def encrypt_packet(self, seq: int, header: bytes, packet: bytes) -> tuple[bytes, bytes]:
        mac_key = self._begin(seq)
        sealed = self._header(seq, header) + self._body.update(packet)
        return sealed, Poly1305.generate_tag(mac_key, sealed)

    def decrypt_header(self, seq: int, first_block: bytes, header_len: int) -> tuple[bytes, bytes]:
        return first_block, self._header(seq, first_block[:header_len])

    def decrypt_packet(
        self, seq: int, first: bytes, rest: bytes, header_len: int, mac: bytes
    ) -> bytes | None:
        """None when it is not genuine."""
        sealed = first + rest
        try:
            Poly1305.verify_tag(self._begin(seq), sealed, mac)
        except InvalidSignature:
            return None
        return self._body.update(sealed[header_len:])

    def _begin(self, seq: int) -> bytes:
        """Answers the key of the MAC, and has the body's stream at its beginning."""
        self._body.reset_nonce(_FIRST + seq.to_bytes(8))
        return self._body.update(_BLOCK)[:32]

    def _header(self, seq: int, header: bytes) -> bytes:
        self._length.reset_nonce(_FIRST + seq.to_bytes(8))
        return self._length.update(header)


@cache
def install() -> None:
    """For all connections of this process from now on."""
    register_encryption_alg(b"aes128-gcm@openssh.com", Gcm, "aes128-gcm", False)
    register_encryption_alg(b"aes256-gcm@openssh.com", Gcm, "aes256-gcm", False)
    register_encryption_alg(b"chacha20-poly1305@openssh.com", ChaCha, "chacha20-poly1305", False)
