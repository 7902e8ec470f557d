"""Secrets that we make: their form, their parts, and what of them is kept.

`alc_<16 of base 32>_<43 of base 62>`: the prefix tells secret scanners what they found, the
middle is the id under which it is looked up, the rest has 256 random bits. Sessions have `als_`,
sign-in links `all_`, programs that wait for a sign-in `ald_`.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_ID_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
_SECRET_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_LENGTH: Final = 43
_FORM: Final = re.compile(r"(alc|ald|als|all)_([a-z2-7]{16})_([0-9A-Za-z]{43})", re.ASCII)


class SecretKind(StrEnum):
    TOKEN = "alc"
    SESSION = "als"
    LINK = "all"
    DEVICE = "ald"


@dataclass(frozen=True, slots=True)
class Secret:
    """`text` is shown once; `sha256` is what the database gets."""

    kind: SecretKind
    id: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def __repr__(self) -> str:
        return f"<{self.kind.name.lower()} {self.id}>"


def new_secret(kind: SecretKind) -> Secret:
    id = new_id()
    random = "".join(secrets.choice(_SECRET_ALPHABET) for _ in range(_SECRET_LENGTH))
    return Secret(kind, id, f"{kind}_{id}_{random}")


def parse(text: str, kind: SecretKind) -> Secret | None:
    """None for anything that cannot be one of this kind."""
    found = _FORM.fullmatch(text)
    if found is None or found[1] != kind:
        return None
    return Secret(kind, found[2], text)


def new_id() -> str:
    """16 characters of base 32: 80 random bits."""
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(16))
