"""Values that only changes have."""

from typing import Final


class Never:
    """The type of NEVER."""


NEVER: Final = Never()
"""For `ttl`: take the time to live away."""
