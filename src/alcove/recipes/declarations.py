"""A template's parameters and presets: what their fields mean together.

Given what the shapes let through; every problem goes to the report, with its line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from alcove.model.template import (
    Ceilings,
    Parameter,
    ParameterType,
    ParameterValue,
    Preset,
)
from alcove.model.workspace import NetworkMode
from alcove.recipes import parameters, pattern, repository
from alcove.recipes.document import Node
from alcove.recipes.problem import Report, did_you_mean, listed, quoted
from alcove.recipes.shape import Part
from alcove.recipes.wellknown import (
    AMOUNTS,
    TYPES,
    WellKnown,
    amount,
    ceiling,
    limit,
    shown,
    well_known,
)

T = ParameterType

_TAKES: Final[Mapping[str, tuple[ParameterType, ...]]] = {
    "min": (T.NUMBER, T.STRING, T.LIST),
    "max": (T.NUMBER, T.STRING, T.LIST),
    "pattern": (T.STRING, T.LIST),
    "options": (T.CHOICE, T.LIST),
}
"""Which types a rule has a meaning for; on others it would have no effect."""


def declare(raw: Part, report: Report) -> Parameter:
    """One parameter. What its own fields contradict is reported, and then left out of it."""
    name, kind = str(raw["name"]), ParameterType(raw["type"])
    rules = {k: v for k, v in raw.items() if k in _TAKES}
    for rule in [r for r in rules if kind not in _TAKES[r]]:
        said = f"{rule} has no meaning for the type {kind}; only for {listed(_TAKES[rule])}"
        report.error(raw.line(rule), name, said)
        del rules[rule]
    _check_rules(name, kind, rules, raw, report)
    parameter = Parameter(
        name=name,
        type=kind,
        display_name=raw.get("display_name") or name,
        description=raw.get("description", ""),
        default=None,
        required=raw.get("required", "default" not in raw),
        mutable=raw.get("mutable", True),
        min=rules.get("min"),
        max=rules.get("max"),
        pattern=rules.get("pattern"),
        options=rules.get("options", ()),
    )
    if "default" not in raw:
        return parameter
    if parameter.required:
        said = "is required, so its default is never taken; leave one of the two out"
        report.warn(raw.line("default"), name, said)
    if len(rules.get("options", ())) != len(_items(raw.node.at("options"))):
        # An option at fault was left out, and the default may have meant that one.
        return parameter
    value = _coerced(parameter, raw["default"], raw.line("default"), name, "default ", report)
    return replace(parameter, default=value)


def check_names(declared: Sequence[Parameter], parts: Sequence[Part], report: Report) -> None:
    """Names, and the variables made from them, are each there once."""
    seen: dict[str, str] = {}
    for parameter, part in zip(declared, parts, strict=True):
        variable = parameters.variable(parameter.name)
        line = part.line("name")
        if seen.get(variable) == parameter.name:
            report.error(line, parameter.name, "is declared twice")
        elif variable in seen:
            said = f"and {seen[variable]} would both be the variable {variable}"
            report.error(line, parameter.name, said)
        seen.setdefault(variable, parameter.name)
    names = {p.name: part for p, part in zip(declared, parts, strict=True)}
    if WellKnown.TTL in names and WellKnown.TTL_HOURS in names:
        said = "and ttl mean the same; declare one of them"
        report.error(names[WellKnown.TTL_HOURS].line(), WellKnown.TTL_HOURS, said)


def check_meaning(parameter: Parameter, ceilings: Ceilings, raw: Part, report: Report) -> None:
    """A parameter whose name means something has a type and values that can mean it."""
    name = well_known(parameter.name)
    if name is None:
        return
    if parameter.type not in TYPES[name]:
        said = f"has the type {parameter.type}; to every template it is a {listed(TYPES[name])}"
        report.error(raw.line("type"), parameter.name, said)
        return
    candidates: list[tuple[str, ParameterValue]] = [("options", o) for o in parameter.options]
    if parameter.default not in (None, ""):
        candidates.append(("default", parameter.default))  # pyright: ignore[reportArgumentType]
    if parameter.type is T.NUMBER:
        bounds = (("min", parameter.min), ("max", parameter.max))
        candidates += [(rule, value) for rule, value in bounds if value is not None]
    for rule, value in candidates:
        if problem := _meaning(name, value, ceilings):
            report.error(raw.line(rule), parameter.name, f"{_singular(rule)} {problem}")


def preset(raw: Part, declared: Sequence[Parameter], ceilings: Ceilings, report: Report) -> Preset:
    known = {p.name: p for p in declared}
    name = str(raw["name"])
    values: dict[str, ParameterValue] = {}
    for key, value in raw["parameters"].items():
        line = raw.line("parameters", key)
        if key not in known:
            said = f"there is no parameter {quoted(key)}{did_you_mean(key, known)}"
            report.error(line, name, said)
            continue
        found = _coerced(known[key], value, line, name, f"{key}: ", report)
        if found is None:
            continue
        values[key] = found
        meant = well_known(key)
        if meant is None or found == "":
            continue
        if problem := _meaning(meant, found, ceilings):
            report.error(line, name, f"{key}: {problem}")
    return Preset(name=name, description=raw.get("description", ""), parameters=values)


def _check_rules(
    name: str, kind: ParameterType, rules: dict[str, Any], raw: Part, report: Report
) -> None:
    least, most = rules.get("min"), rules.get("max")
    if least is not None and most is not None and least > most:
        report.error(raw.line("min"), name, f"min {least:.15g} is over max {most:.15g}")
        del rules["min"], rules["max"]
    options = rules.get("options")
    if kind is T.CHOICE and not _items(raw.node.at("options")):
        report.error(raw.line("options"), name, "is a choice and has no options")
    elif options and len(set(options)) != len(options):
        report.error(raw.line("options"), name, "has an option twice")
    if "pattern" in rules:
        try:
            pattern.check(rules["pattern"])
        except ValueError as error:
            report.error(raw.line("pattern"), name, f"pattern {error}")
            del rules["pattern"]


def _coerced(
    parameter: Parameter, value: object, line: int, path: str, what: str, report: Report
) -> ParameterValue | None:
    if parameter.type is T.CHOICE and not parameter.options:
        return None
    try:
        return parameters.coerce(parameter, value, strings=False)
    except ValueError as error:
        report.error(line, path, f"{what}{error}")
        return None


def _items(node: Node) -> list[Node]:
    return node.value if isinstance(node.value, list) else []


def _meaning(name: WellKnown, value: ParameterValue, ceilings: Ceilings) -> str:
    """Why the value cannot be what the name promises; empty when it can."""
    try:
        if name in AMOUNTS:
            found, most = amount(name, value), ceiling(name, ceilings)
            if most is not None and found > most:
                return f"{quoted(value)} is over the ceiling {shown(limit(name), most)}"
        elif name is WellKnown.NETWORK:
            if str(value) not in [mode.value for mode in NetworkMode]:
                return f"{quoted(value)} is not {listed(NetworkMode)}"
            if NetworkMode(str(value)) not in ceilings.networks:
                return f"{value} is over the ceiling {listed(ceilings.networks)}"
        elif name is WellKnown.REPO:
            repository.normalise(str(value))
        else:
            repository.check_branch(str(value))
    except ValueError as error:
        return str(error)
    return ""


def _singular(rule: str) -> str:
    return "option" if rule == "options" else rule
