"""Parameters whose names mean something to every template: they drive limits, lifetime, network
and repository. What they mean is an amount: millicores, MiB or seconds."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from alcove.model.template import Ceilings, Parameter, ParameterType, ParameterValue
from alcove.model.units import (
    DURATION_MAX_S,
    format_duration,
    format_size,
    parse_duration,
    parse_size_mib,
)
from alcove.recipes import repository
from alcove.recipes.problem import quoted


class WellKnown(StrEnum):
    CPU = "cpu"
    """Cores."""
    MEMORY = "memory"
    """A size; a number is GiB."""
    DISK = "disk"
    """A size; a number is GiB."""
    TTL = "ttl"
    """A duration."""
    TTL_HOURS = "ttl_hours"
    NETWORK = "network"
    """One of the modes."""
    REPO = "repo"
    BRANCH = "branch"


W = WellKnown
T = ParameterType

ANYWHERE: Final = frozenset({W.REPO, W.BRANCH, W.TTL, W.TTL_HOURS})
"""Taken among the parameters also when the template does not declare them."""

AMOUNTS: Final = frozenset({W.CPU, W.MEMORY, W.DISK, W.TTL, W.TTL_HOURS})

TYPES: Final[Mapping[WellKnown, tuple[ParameterType, ...]]] = {
    W.CPU: (T.NUMBER, T.CHOICE),
    W.MEMORY: (T.NUMBER, T.STRING, T.CHOICE),
    W.DISK: (T.NUMBER, T.STRING, T.CHOICE),
    W.TTL: (T.STRING, T.CHOICE),
    W.TTL_HOURS: (T.NUMBER, T.CHOICE),
    W.NETWORK: (T.CHOICE,),
    W.REPO: (T.STRING, T.CHOICE),
    W.BRANCH: (T.STRING, T.CHOICE),
}
"""How a template may declare each."""

LEAST: Final[Mapping[WellKnown, int]] = {W.CPU: 50, W.MEMORY: 32, W.DISK: 32, W.TTL: 1}
"""Below these no workspace starts: 5 % of a core, 32 MiB, one second."""
MOST: Final[Mapping[WellKnown, int]] = {
    W.CPU: 1024 * 1000,
    W.MEMORY: 64 * 1024 * 1024,
    W.DISK: 1024 * 1024 * 1024,
    W.TTL: DURATION_MAX_S,
}
"""Above these it is a slip of the pen, whatever the ceilings."""


_NAMES: Final[Mapping[str, WellKnown]] = {w.value: w for w in WellKnown}


def well_known(name: str) -> WellKnown | None:
    return _NAMES.get(name)


def limit(name: WellKnown) -> WellKnown:
    """The limit that it drives: two of them are the time to live."""
    return W.TTL if name is W.TTL_HOURS else name


def amount(name: WellKnown, value: ParameterValue) -> int:
    """Millicores, MiB or seconds. Raises ValueError for what is none."""
    match name:
        case W.CPU:
            found = _scaled(value, 1000)
        case W.TTL_HOURS:
            found = _scaled(value, 3600)
        case W.TTL:
            found = parse_duration(_text(value))
        case _:
            text = isinstance(value, str) and not _is_number(value)
            found = parse_size_mib(_text(value)) if text else _scaled(value, 1024)
    check_amount(name, found)
    return found


def check_amount(name: WellKnown, found: int) -> None:
    """Raises ValueError for what no workspace can have."""
    key = limit(name)
    if found < LEAST[key]:
        raise ValueError(f"{shown(key, found)} is under the least, {shown(key, LEAST[key])}")
    if found > MOST[key]:
        raise ValueError(f"{quoted(found)} is over the most, {shown(key, MOST[key])}")


def value_of(parameter: Parameter, name: WellKnown, found: int) -> ParameterValue:
    """The declared parameter's value that means this amount; of a choice, its option."""
    if parameter.type is T.NUMBER:
        scale = {W.CPU: 1000, W.TTL_HOURS: 3600}.get(name, 1024)
        return found // scale if found % scale == 0 else found / scale
    for option in parameter.options:
        try:
            if amount(name, option) == found:
                return option
        except ValueError:
            continue
    return shown(limit(name), found)


def plain(parameter: Parameter | None, name: WellKnown, value: object) -> object:
    """A repository or branch in its normal form, or as the declared option that means it.

    So that patterns see one form, and what was resolved once is taken again. Other values come
    back as they are, and so does what has no normal form.
    """
    form = {W.REPO: repository.plain_url, W.BRANCH: repository.plain_branch}.get(name)
    if form is None or not isinstance(value, str) or not value:
        return value
    found = form(value)
    options = () if parameter is None else parameter.options
    return next((option for option in options if form(option) == found), found)


def ceiling(name: WellKnown, ceilings: Ceilings) -> int | None:
    match limit(name):
        case W.CPU:
            return ceilings.cpu_millis
        case W.MEMORY:
            return ceilings.memory_mib
        case W.DISK:
            return ceilings.disk_mib
        case _:
            return ceilings.ttl_s


def shown(name: WellKnown, found: int) -> str:
    """For people: `8`, `16Gi`, `24h`."""
    match name:
        case W.CPU:
            return f"{found / 1000:.6g}"
        case W.MEMORY | W.DISK:
            return format_size(found)
        case _:
            return hours(found)


def hours(seconds: int) -> str:
    """Like `format_duration`, with up to two days in hours, as ceilings are written: `24h`."""
    if seconds % 3600 == 0 and 0 < seconds <= 48 * 3600:
        return f"{seconds // 3600}h"
    return format_duration(max(seconds, 0))


def _scaled(value: ParameterValue, scale: int) -> int:
    if isinstance(value, str):
        if not _is_number(value):
            raise ValueError(f"{quoted(value)} is not a number")
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{quoted(value)} is not a number")
    return round(value * scale)


def _text(value: ParameterValue) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{quoted(value)} is not a text")
    return value[:64]


def _is_number(text: str) -> bool:
    return (
        len(text) <= 18
        and text.replace(".", "", 1).isascii()
        and text.replace(".", "", 1).isdigit()
    )
