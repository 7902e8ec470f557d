"""Values of a template's parameters: from JSON or from strings to what the template declared.

Pure. Every value at fault is named as `parameters.<name>`, all of them at once.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from alcove.model.errors import FieldError
from alcove.model.template import Parameter, ParameterType, ParameterValue
from alcove.recipes import pattern
from alcove.recipes.fields import NUMBER_MAX, TEXT_MAX
from alcove.recipes.problem import did_you_mean, listed, quoted
from alcove.recipes.shape import unprintable
from alcove.recipes.wellknown import ANYWHERE, WellKnown, well_known

VALUES_MAX: Final = 200
ITEMS_MAX: Final = 100
_YES: Final = frozenset({"true", "yes", "on", "1"})
_NO: Final = frozenset({"false", "no", "off", "0"})
_NUMBER: Final = re.compile(r"[-+]?[0-9]{1,16}(?:\.[0-9]{1,16})?(?:[eE][-+]?[0-9]{1,2})?")

_UNDECLARED: Final[Mapping[WellKnown, ParameterType]] = {
    WellKnown.REPO: ParameterType.STRING,
    WellKnown.BRANCH: ParameterType.STRING,
    WellKnown.TTL: ParameterType.STRING,
    WellKnown.TTL_HOURS: ParameterType.NUMBER,
}
assert _UNDECLARED.keys() == ANYWHERE


@dataclass(frozen=True, slots=True)
class Values:
    """What was given, checked; nothing is filled in."""

    declared: Mapping[str, ParameterValue]
    beside: Mapping[WellKnown, ParameterValue]
    """Well-known ones that the template does not declare."""
    errors: tuple[FieldError, ...]


def read(declared: Sequence[Parameter], given: Mapping[str, object], *, strings: bool) -> Values:
    """Check what was given. With `strings`, values are texts, to be parsed to their types.

    A value of None is the same as none given.
    """
    known = {p.name: p for p in declared}
    values: dict[str, ParameterValue] = {}
    beside: dict[WellKnown, ParameterValue] = {}
    errors: list[FieldError] = []
    if len(given) > VALUES_MAX:
        said = f"has {len(given)} names; at most {VALUES_MAX} are allowed"
        return Values({}, {}, (FieldError("parameters", said),))
    for name, value in given.items():
        if value is None:
            continue
        anywhere = well_known(name)
        try:
            if name in known:
                values[name] = coerce(known[name], value, strings=strings)
            elif anywhere is not None and anywhere in ANYWHERE:
                beside[anywhere] = coerce(_plain(anywhere), value, strings=strings)
            else:
                near = did_you_mean(name, [*known, *ANYWHERE])
                raise ValueError(f"the template has no such parameter{near}")  # noqa: TRY301
        except ValueError as error:
            errors.append(FieldError(field(name), str(error)))
    return Values(values, beside, tuple(errors))


def coerce(parameter: Parameter, value: object, *, strings: bool) -> ParameterValue:
    """The value in the parameter's type and within its rules. Raises ValueError."""
    if strings and not isinstance(value, str):
        raise ValueError("expected a text, as all values here")
    match parameter.type:
        case ParameterType.STRING:
            found: ParameterValue = _string(parameter, value)
        case ParameterType.NUMBER:
            found = _number(parameter, _parsed_number(value) if strings else value)
        case ParameterType.BOOL:
            found = _bool(_parsed_bool(value) if strings else value)
        case ParameterType.CHOICE:
            found = _option(parameter, _text(value))
        case ParameterType.LIST:
            found = _list(parameter, _parsed_list(value) if strings else value)
    return found


def with_defaults(
    declared: Sequence[Parameter], values: Mapping[str, ParameterValue]
) -> tuple[dict[str, ParameterValue], tuple[FieldError, ...]]:
    """Fill in defaults, in the order of declaration; name what is required and missing."""
    filled: dict[str, ParameterValue] = {}
    errors: list[FieldError] = []
    for parameter in declared:
        value = values.get(parameter.name)
        if value is None and parameter.required:
            errors.append(FieldError(field(parameter.name), "is required"))
        elif value is None:
            value = parameter.default
        if value is not None:
            filled[parameter.name] = value
    return filled, tuple(errors)


def variables(values: Mapping[str, ParameterValue]) -> dict[str, str]:
    """What processes in the workspace see: `ALCOVE_PARAMETER_<NAME>`.

    Values go to scripts this way alone: text put into a script's source could be code.
    """
    return {variable(name): as_text(value) for name, value in values.items()}


def variable(name: str) -> str:
    return f"ALCOVE_PARAMETER_{name.upper().replace('-', '_')}"


def as_text(value: ParameterValue) -> str:
    """true/false, the shortest number, a list as JSON."""
    match value:
        case bool():
            return "true" if value else "false"
        case tuple():
            return json.dumps(list(value), ensure_ascii=False)
        case _:
            return str(value)


def field(name: str) -> str:
    """How errors name a parameter, whatever its name is made of."""
    return f"parameters.{name if re.fullmatch(r'[A-Za-z0-9_-]{1,64}', name) else quoted(name)}"


def _plain(name: WellKnown) -> Parameter:
    """A declaration without rules, for a well-known parameter that has none."""
    return Parameter(
        name=name,
        type=_UNDECLARED[name],
        display_name=name,
        description="",
        default=None,
        required=False,
        mutable=True,
    )


def _string(parameter: Parameter, value: object) -> str:
    text = _text(value)
    _within(parameter, len(text), "characters")
    if parameter.pattern is not None and not pattern.matches(parameter.pattern, text):
        raise ValueError(f"{quoted(text)} does not match {parameter.pattern}")
    return text


def _number(parameter: Parameter, value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        hint = "; write it without quotes" if isinstance(value, str) else ""
        raise ValueError(f"expected a number, got {quoted(value)}{hint}")
    if not abs(value) <= NUMBER_MAX or not math.isfinite(value):
        raise ValueError(f"{quoted(value)} is not a number of ordinary size")
    if parameter.min is not None and value < parameter.min:
        raise ValueError(f"{quoted(value)} is under the minimum {parameter.min:.15g}")
    if parameter.max is not None and value > parameter.max:
        raise ValueError(f"{quoted(value)} is over the maximum {parameter.max:.15g}")
    return int(value) if value == int(value) else value


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {quoted(value)}")
    return value


def _option(parameter: Parameter, text: str) -> str:
    if text not in parameter.options:
        raise ValueError(f"{quoted(text)} is not {listed(parameter.options)}")
    return text


def _list(parameter: Parameter, value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"expected a list of texts, got {quoted(value)}")
    items = cast("Sequence[object]", value)
    if len(items) > ITEMS_MAX:
        raise ValueError(f"has {len(items)} items; at most {ITEMS_MAX} are allowed")
    texts = tuple(_text(item) for item in items)
    if sum(len(text.encode()) for text in texts) > TEXT_MAX:
        raise ValueError(f"is longer than {TEXT_MAX} bytes")
    _within(parameter, len(texts), "items")
    for text in texts:
        if parameter.options:
            _option(parameter, text)
        if parameter.pattern is not None and not pattern.matches(parameter.pattern, text):
            raise ValueError(f"{quoted(text)} does not match {parameter.pattern}")
    return texts


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a text, got {quoted(value)}")
    if len(value) > TEXT_MAX:
        raise ValueError(f"is longer than {TEXT_MAX} bytes")
    if found := unprintable(value, lines=True):
        raise ValueError(f"has the character {found}")
    if len(value.encode()) > TEXT_MAX:
        raise ValueError(f"is longer than {TEXT_MAX} bytes")
    return value


def _within(parameter: Parameter, count: int, what: str) -> None:
    if parameter.min is not None and count < parameter.min:
        raise ValueError(f"has {count} {what}; at least {parameter.min:.15g} are needed")
    if parameter.max is not None and count > parameter.max:
        raise ValueError(f"has {count} {what}; at most {parameter.max:.15g} are allowed")


def _parsed_number(value: object) -> object:
    text = str(value).strip()
    if _NUMBER.fullmatch(text) is None:
        raise ValueError(f"{quoted(value)} is not a number")
    return float(text) if any(c in text for c in ".eE") else int(text)


def _parsed_bool(value: object) -> bool:
    word = str(value).strip().lower()
    if word not in _YES | _NO:
        raise ValueError(f"{quoted(value)} is not true or false")
    return word in _YES


def _parsed_list(value: object) -> object:
    """A JSON list, as Coder writes it, or texts with commas between them."""
    text = str(value).strip()
    if len(text) > TEXT_MAX:
        raise ValueError(f"is longer than {TEXT_MAX} bytes")
    if not text.startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f'{quoted(value)} is not a list like ["a", "b"]') from None
