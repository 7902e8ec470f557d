"""Small claims that we hand out and know again: no row, no state, an HMAC.

A seal is for one purpose: what was made for one is refused for another.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any, Final

TEXT_MAX: Final = 2048
_MAC_LENGTH: Final = 32


def seal(secret: bytes, purpose: str, claims: Sequence[str | int]) -> str:
    """Text of letters, digits, `-` and `_`, which is safe in a path and in a cookie."""
    said = json.dumps(list(claims), separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_mac(secret, purpose, said) + said).decode().rstrip("=")


def unseal(secret: bytes, purpose: str, text: str) -> Sequence[Any] | None:
    """The claims; None for whatever we have not made for this purpose."""
    if len(text) > TEXT_MAX or not text.isascii():
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return None
    mac, said = raw[:_MAC_LENGTH], raw[_MAC_LENGTH:]
    if not hmac.compare_digest(mac, _mac(secret, purpose, said)):
        return None
    claims: Sequence[Any] = json.loads(said)
    return claims


def _mac(secret: bytes, purpose: str, said: bytes) -> bytes:
    key = hmac.new(secret, f"seal:{purpose}".encode(), hashlib.sha256).digest()
    return hmac.new(key, said, hashlib.sha256).digest()
