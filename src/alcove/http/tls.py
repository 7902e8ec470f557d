"""The server's own certificate, where no proxy in front of it has one.

It is read before the server gives its rights up, and again when its files change: whoever renews
it restarts nothing. One rule: what cannot be used is never put in the place of what can.
"""

import ssl
from pathlib import Path
from typing import Final

import anyio
import structlog

from alcove.model.errors import Invalid

LOOK_EVERY_S: Final = 60.0
_log = structlog.get_logger("alcove.tls")


class Certificate:
    """`context` is what connections are made with; it is the same object after a renewal."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises Invalid, naming the setting, for files that are not a certificate and its key."""
        self._files = certificate, key
        self._seen = self._times()
        self.context = _context(certificate, key)

    def renew(self) -> bool:
        """Take over what has changed since; answers whether anything had. Raises Invalid, going on
        with what was there, for what cannot be used."""
        times = self._times()
        if times == self._seen:
            return False
        self._seen = times
        _context(*self._files)  # on trial: the context in use must never hold half of a pair
        self.context.load_cert_chain(*self._files, password=_no_password)
        return True

    async def keep(self) -> None:
        """Renew for ever."""
        while True:
            await anyio.sleep(LOOK_EVERY_S)
            try:
                if self.renew():
                    _log.info("the certificate was renewed", file=str(self._files[0]))
            except Invalid as error:
                _log.error("the new certificate cannot be used", error=str(error))

    def _times(self) -> tuple[int, ...]:
        try:
            return tuple(file.stat().st_mtime_ns for file in self._files)
        except OSError as error:
            raise Invalid(f"tls_certificate, tls_key: {error}") from error


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        said = f"{certificate} and {key} are not a certificate in PEM and its key: {error}"
        raise Invalid(f"tls_certificate, tls_key: {said}") from error
    return context


def _no_password() -> str:
    """Nobody is there to be asked for one."""
    raise ValueError("the key is encrypted; give one that is not, readable by root alone")
