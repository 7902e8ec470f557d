"""`-p KEY=VALUE`: texts as the values that a template's parameters take. Pure."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from alcove.sdk.errors import FieldError, Invalid

if TYPE_CHECKING:
    from alcove.wire.templates import TemplateParameter

_BOOLS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def typed(
    values: Mapping[str, str], parameters: "Sequence[TemplateParameter]"
) -> dict[str, str | int | float | bool | list[str]]:
    """Each value by its parameter's type; unknown names stay text, the server names them.

    Raises Invalid for a value that is not of the type.
    """
    types = {parameter.name: str(parameter.type) for parameter in parameters}
    found: dict[str, str | int | float | bool | list[str]] = {}
    for name, text in values.items():
        try:
            found[name] = _value(text, types.get(name, "string"))
        except ValueError as error:
            fault = FieldError(f"parameters.{name}", str(error))
            raise Invalid(f"{fault.field}: {fault.message}", errors=[fault]) from None
    return found


def _value(text: str, kind: str) -> str | int | float | bool | list[str]:
    match kind:
        case "number":
            try:
                return int(text)
            except ValueError:
                return float(text)
        case "bool":
            if text.lower() not in _BOOLS:
                raise ValueError(f"{text!r} is neither true nor false")
            return _BOOLS[text.lower()]
        case "list":
            return [part.strip() for part in text.split(",") if part.strip()]
        case _:
            return text
