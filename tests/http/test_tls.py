"""The server ends TLS itself: what it takes and refuses, and a certificate that is renewed."""

import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from alcove import Alcove
from alcove.http.tls import Certificate
from alcove.model.errors import Invalid
from tests.certificates import Authority
from tests.ports import free_port

READY_S = 60
START = "import sys; from alcove.server import main; sys.exit(main(['server', *sys.argv[1:]]))"


@dataclass
class Secured:
    port: int
    authority: Authority

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority.bundle))


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Generator[Secured]:
    """`alcove server` with a certificate, as a process of its own."""
    place = tmp_path_factory.mktemp("tls")
    authority = Authority.make(place)
    certificate, key = authority.sign()
    made = Secured(free_port(), authority)
    words = [
        sys.executable, "-c", START, "--driver", "fake", "--allow-root",
        "--data-dir", str(place / "data"), "--http-address", f"127.0.0.1:{made.port}",
    ]  # fmt: skip
    settings = {
        "ALCOVE_TLS_CERTIFICATE": str(certificate),
        "ALCOVE_TLS_KEY": str(key),
        "ALCOVE_EXTERNAL_URL": made.url,
        "ALCOVE_SSH_ADDRESS": "",
    }
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}  # noqa: TID251
    process = subprocess.Popen(words, env={**inherited, **settings})
    try:
        _until_ready(made, process)
        yield made
    finally:
        process.terminate()
        process.wait(timeout=30)


def _until_ready(secured: Secured, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{secured.url}/readyz", verify=secured.trusting()).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the server is not ready")


def test_it_tells_browsers_to_come_back_over_tls_only(secured: Secured) -> None:
    answer = httpx.get(f"{secured.url}/sign-in", verify=secured.trusting())
    assert answer.status_code == 200
    assert answer.headers["strict-transport-security"].startswith("max-age=")


def test_the_client_works_against_it_with_the_authority_of_the_environment(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(secured.authority.bundle))
    with Alcove(secured.url, "alc_nobody") as client:
        assert not client.server.accepts_token()


def test_a_certificate_of_nobody_known_is_not_accepted(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{secured.url}/readyz")


def test_plain_http_gets_no_answer(secured: Secured) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://localhost:{secured.port}/readyz")


def test_old_versions_of_tls_are_refused(secured: Secured) -> None:
    old = secured.trusting()
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(("127.0.0.1", secured.port)) as raw,
        old.wrap_socket(raw, server_hostname="localhost") as stream,
    ):
        assert stream.version() in {"TLSv1.2", "TLSv1.3"}
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{secured.port}", "-tls1_1",
         "-cipher", "ALL:@SECLEVEL=0"],
        input=b"", capture_output=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode != 0


def test_a_renewed_certificate_is_taken_over_without_a_restart(tmp_path: Path) -> None:
    authority = Authority.make(tmp_path)
    files = authority.sign(serial=1001)
    kept = Certificate(*files)
    before = kept.context
    assert not kept.renew()
    authority.sign(serial=1002)
    assert kept.renew()
    assert kept.context is before
    assert _serial(kept.context, authority) == 1002


def test_half_of_a_new_pair_changes_nothing(tmp_path: Path) -> None:
    authority = Authority.make(tmp_path)
    certificate, key = authority.sign(serial=2001)
    kept = Certificate(certificate, key)
    old = key.read_bytes()
    authority.sign(serial=2002)
    key.write_bytes(old)
    with pytest.raises(Invalid, match="tls_certificate, tls_key"):
        kept.renew()
    assert _serial(kept.context, authority) == 2001


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"nowhere\.pem"):
        Certificate(tmp_path / "nowhere.pem", tmp_path / "nowhere.key")


def _serial(context: ssl.SSLContext, authority: Authority) -> int:
    """Of what is shown in a handshake, made in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    trusting = ssl.create_default_context(cafile=str(authority.bundle))
    client = trusting.wrap_bio(to_client, to_server, server_hostname="localhost")
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    shown = client.getpeercert()
    assert shown is not None
    return int(str(shown["serialNumber"]), 16)
