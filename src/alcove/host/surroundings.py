"""What a workspace is given of the operator's network: certificate authorities and apt's proxy.

Pure. As files and as the base environment, since programs differ in where they look and sudo
clears the environment. Proxies and mirrors for ordinary users are environment that the server
gives at claim; nothing here is secret.
"""

import re
from collections.abc import Mapping
from typing import Final

from alcove.host.settings import HostSettings
from alcove.model.errors import DriverError
from alcove.model.workspace import NetworkMode, Spec

SYSTEM_BUNDLE: Final = "etc/ssl/certs/ca-certificates.crt"
OWN_BUNDLE: Final = "etc/alcove/ca-certificates.crt"
_APT: Final = "etc/apt/apt.conf.d/90alcove"
_POINTERS: Final = (
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
)
_PROXY: Final = re.compile(r"https?://[A-Za-z0-9._~:@%\[\]-]+/?")


def files(
    settings: HostSettings, spec: Spec, *, authorities: bytes, system_bundle: bytes | None
) -> dict[str, bytes]:
    """Path → content for the workspace's layer. `authorities` is the operator's bundle (empty for
    none), `system_bundle` that of the image."""
    found: dict[str, bytes] = {}
    if authorities:
        whole = b"\n".join(part.strip() for part in (system_bundle or b"", authorities)) + b"\n"
        found[OWN_BUNDLE] = whole
        if system_bundle is not None:
            found[SYSTEM_BUNDLE] = whole
    if spec.network is not NetworkMode.NONE:
        lines = [
            f'Acquire::{scheme}::Proxy "{_checked(proxy)}";\n'
            for scheme, proxy in (("http", settings.http_proxy), ("https", settings.https_proxy))
            if proxy
        ]
        if lines:
            found[_APT] = "".join(lines).encode()
    return found


def environment(settings: HostSettings, image_env: Mapping[str, str]) -> dict[str, str]:
    """The base environment of every process: the image's, and where the authorities are."""
    pointers = dict.fromkeys(_POINTERS, f"/{OWN_BUNDLE}") if settings.ca_bundle else {}
    return {**image_env, **pointers}


def _checked(proxy: str) -> str:
    if not _PROXY.fullmatch(proxy):
        raise DriverError(f"the setting for a proxy is not a URL: {proxy!r}", retry=False)
    return proxy
