"""The variables that processes in a workspace see, from template, parameters and request."""

from collections.abc import Mapping
from typing import Final

from alcove.model.errors import FieldError
from alcove.model.template import ParameterValue
from alcove.recipes import parameters
from alcove.recipes.document import Node
from alcove.recipes.fields import ENV_NAME, TEXT_MAX
from alcove.recipes.problem import Report, quoted
from alcove.recipes.shape import BAD

RESERVED_PREFIX: Final = "ALCOVE_"
"""Variables that the platform sets itself."""
VARIABLES_MAX: Final = 500
TOTAL_MAX: Final = 512 * 1024
"""Bytes of all names and values: a quarter of what Linux gives a new process by default."""


def environment(
    *,
    template: Mapping[str, str],
    values: Mapping[str, ParameterValue],
    request: Mapping[str, str],
    errors: list[FieldError],
) -> dict[str, str]:
    """The request's win over the template's. `values` are the parameters', already checked."""
    asked: dict[str, str] = {}
    if len(request) > VARIABLES_MAX:
        said = f"has {len(request)} variables; at most {VARIABLES_MAX} are allowed"
        errors.append(FieldError("env", said))
        return {}
    for name, value in request.items():
        try:
            check(name, value)
            asked[name] = value
        except ValueError as error:
            label = name if named(name) else quoted(name)
            errors.append(FieldError(f"env.{label}", str(error)))
    merged = {**template, **asked, **parameters.variables(values)}
    total = sum(len(f"{k}={v}".encode()) + 1 for k, v in merged.items())
    if total > TOTAL_MAX:
        said = f"all variables together are {total} bytes; at most {TOTAL_MAX} are allowed"
        errors.append(FieldError("env", said))
    return merged


def check(name: str, value: str) -> None:
    """Raises ValueError for a variable that nobody may set, or that cannot be one."""
    if not named(name):
        raise ValueError(f"is not {ENV_NAME.says}")
    if name.startswith(RESERVED_PREFIX):
        raise ValueError(f"names that begin with {RESERVED_PREFIX} are set by the platform")
    bad = next((c for c in value if c == "\0" or "\ud800" <= c <= "\udfff"), None)
    if bad is not None:
        raise ValueError(f"has the character U+{ord(bad):04X}")
    if len(value.encode()) > TEXT_MAX:
        raise ValueError(f"is longer than {TEXT_MAX} bytes")


def named(name: str) -> bool:
    """Whether a shell could refer to it."""
    return ENV_NAME.read(Node(0, name), "", Report("")) is not BAD
