"""What the gateway speaks: strong algorithms only, the fast ones first.

No SHA-1, no CBC, no DSA, nothing below 128 bits. Strict key exchange (against Terrapin) is
asyncssh's with every client that knows it. AES-GCM comes before ChaCha20: OpenSSL has it in
hardware. Ciphers with a MAC of their own are left out where it is not encrypt-then-MAC.
"""

from typing import Final

import asyncssh

from alcove.core import ssh_ca
from alcove.gateway import ciphers
from alcove.gateway.limits import LOGIN_S

KEX: Final = (
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
)
CIPHERS: Final = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes256-ctr",
    "aes128-ctr",
)
MACS: Final = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com")
SIGNATURES: Final = (
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-256",
    "rsa-sha2-512",
)
KEEPALIVE_S: Final = 30.0
KEEPALIVES_MAX: Final = 4
REKEY_BYTES: Final = 1 << 30


def options(
    secret: bytes, *, server: type[asyncssh.SSHServer]
) -> asyncssh.SSHServerConnectionOptions:
    """What every connection is set up with."""
    ciphers.install()
    return asyncssh.SSHServerConnectionOptions(
        server_factory=server,
        server_host_keys=[asyncssh.import_private_key(ssh_ca.host_key(secret))],
        server_version="Alcove",
        kex_algs=list(KEX),
        encryption_algs=list(CIPHERS),
        mac_algs=list(MACS),
        signature_algs=list(SIGNATURES),
        compression_algs=["none"],
        password_auth=False,
        kbdint_auth=False,
        host_based_auth=False,
        public_key_auth=True,
        gss_host=None,
        x509_trusted_certs=None,
        x11_forwarding=False,
        agent_forwarding=True,
        allow_scp=False,
        line_editor=False,
        encoding=None,
        login_timeout=LOGIN_S,
        keepalive_interval=KEEPALIVE_S,
        keepalive_count_max=KEEPALIVES_MAX,
        rekey_bytes=REKEY_BYTES,
    )
