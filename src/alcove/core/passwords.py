"""Hashing passwords with argon2id, off the event loop and a few at a time.

The parameters (t=3, 64 MiB, p=4) are RFC 9106's second recommended option.
"""

from functools import partial
from typing import Final

import anyio
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from alcove.core.gate import Gate
from alcove.model.errors import FieldError, Invalid
from alcove.wire.users import PASSWORD_MAX, PASSWORD_MIN

LENGTH_MIN: Final = PASSWORD_MIN
LENGTH_MAX: Final = PASSWORD_MAX
_HASHER: Final = PasswordHasher(
    time_cost=3, memory_cost=64 * 1024, parallelism=4, hash_len=32, salt_len=16, type=Type.ID
)
NOBODY: Final = (
    "$argon2id$v=19$m=65536,t=3,p=4$bm9ib2R5LXNpZ25zLWlu$"
    "2lpNyrtNQJxsoeICMxULCzZ4Tq/VwLM0lQNzD6Blrmo"
)
"""A hash that no password has: checked for users who do not exist, so that the answer takes
as long as for one who does."""


async def hashed(gate: Gate, password: str, *, field: str = "password") -> str:
    """Raises Invalid when the password is too short or too long to be taken."""
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
        said = f"must have between {LENGTH_MIN} and {LENGTH_MAX} characters"
        raise Invalid(f"{field}: {said}", [FieldError(field, said)])
    return await anyio.to_thread.run_sync(
        partial(_HASHER.hash, password.encode("utf-8", "surrogatepass")), limiter=gate.turn()
    )


async def matches(gate: Gate, password: str, password_hash: str | None) -> bool:
    """Whether it is the password; takes its time also when there is none to compare with."""
    if len(password) > LENGTH_MAX:
        password, password_hash = "", None
    right = await anyio.to_thread.run_sync(
        partial(_verify, password_hash or NOBODY, password), limiter=gate.turn()
    )
    return right and password_hash is not None


def _verify(password_hash: str, password: str) -> bool:
    try:
        return _HASHER.verify(password_hash, password.encode("utf-8", "surrogatepass"))
    except (VerificationError, InvalidHashError):
        return False
