"""The operator's certificate authorities and proxy reach a workspace, and nothing else does."""

from dataclasses import replace
from pathlib import Path

import pytest

from alcove.host.settings import HostSettings
from alcove.host.surroundings import OWN_BUNDLE, SYSTEM_BUNDLE, environment, files
from alcove.model.errors import DriverError
from alcove.model.workspace import NetworkMode
from tests.host.installation import Installation, a_spec, with_network

PLAIN = HostSettings()
OPEN = with_network(a_spec(), NetworkMode.OPEN)


def test_without_settings_nothing_is_added() -> None:
    assert files(PLAIN, OPEN, authorities=b"", system_bundle=b"S") == {}
    assert environment(PLAIN, {"A": "b"}) == {"A": "b"}


def test_authorities_join_the_images_own() -> None:
    found = files(PLAIN, a_spec(), authorities=b"OPERATOR\n", system_bundle=b"IMAGE\n")
    assert found[SYSTEM_BUNDLE] == found[OWN_BUNDLE] == b"IMAGE\nOPERATOR\n"


def test_an_image_without_a_bundle_gets_ours_beside() -> None:
    found = files(PLAIN, a_spec(), authorities=b"OPERATOR\n", system_bundle=None)
    assert set(found) == {OWN_BUNDLE}


def test_every_program_is_pointed_to_the_bundle() -> None:
    env = environment(replace(PLAIN, ca_bundle="/x"), {"SSL_CERT_FILE": "/image"})
    assert env["SSL_CERT_FILE"] == env["NODE_EXTRA_CA_CERTS"] == f"/{OWN_BUNDLE}"


def test_the_proxy_reaches_apt_only_with_a_network() -> None:
    settings = replace(PLAIN, http_proxy="http://proxy.example.com:3128")
    given = files(settings, OPEN, authorities=b"", system_bundle=None)
    assert list(given.values()) == [b'Acquire::http::Proxy "http://proxy.example.com:3128";\n']
    assert files(settings, a_spec(), authorities=b"", system_bundle=None) == {}


@pytest.mark.parametrize("proxy", ['http://x";evil "', "ftp://x", "http://a\nb", "x"])
def test_a_proxy_that_is_no_url_is_refused(proxy: str) -> None:
    settings = replace(PLAIN, http_proxy=proxy)
    with pytest.raises(DriverError, match="not a URL"):
        files(settings, OPEN, authorities=b"", system_bundle=None)


@pytest.mark.root
async def test_the_bundle_is_readable_inside(
    crash_installation: Installation, tmp_path: Path
) -> None:
    installation = crash_installation
    (tmp_path / "ca.pem").write_text("-----OPERATOR-----\n")
    installation.changes = {"ca_bundle": str(tmp_path / "ca.pem")}
    installation.kill()
    installation.up()
    installation.connect()
    box = await installation.create()
    assert "-----OPERATOR-----" in (await box.run('cat "$SSL_CERT_FILE"')).stdout
    await box.destroy()
    await installation.disconnect()
