"""Everything that can be said about a template before it is pushed: `read`'s problems, advice,
and a dry run with the defaults and with each preset. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from alcove.model.errors import Invalid
from alcove.model.image import DebianImage, OciImage
from alcove.model.template import Parameter, ParameterType, ParameterValue, Recipe
from alcove.model.workspace import RootMode
from alcove.recipes.document import Node, parse
from alcove.recipes.native import FILE, read
from alcove.recipes.problem import Problem, Report, Severity
from alcove.recipes.render import RenderRequest, render
from alcove.recipes.wellknown import AMOUNTS, WellKnown, amount, limit, shown, well_known

FILES_MAX: Final = 1000
TOTAL_MAX: Final = 4 * 1024 * 1024
_UNNAMED: Final = re.compile(r"(?:README|LICENSE|CHANGELOG)(?:\.\w+)?", re.IGNORECASE)
_ALWAYS_THERE: Final = frozenset({"apt", "base-files", "bash", "coreutils", "dpkg", "libc6"})


def lint(files: Mapping[str, bytes], default_name: str) -> tuple[Problem, ...]:
    """All problems of a template directory, by line. Never raises."""
    if len(files) > FILES_MAX or sum(map(len, files.values())) > TOTAL_MAX:
        said = f"is more than {FILES_MAX} files or {TOTAL_MAX // 1024**2} MiB"
        return (Problem(".", 0, "", said),)
    reading = read(files, default_name)
    problems = list(reading.problems)
    if reading.recipe is not None and (root := parse(files[FILE], Report(FILE))) is not None:
        report = Report(FILE)
        _advise(reading.recipe, root, report)
        _try(reading.recipe, root, report)
        problems += report.problems
        problems += _unnamed(files, root)
    return tuple(sorted(problems, key=lambda p: (p.file != FILE, p.file, p.line, p.field)))


def _advise(recipe: Recipe, root: Node, report: Report) -> None:
    for line, path, message in _advice(recipe, root):
        report.warn(line, path, message)


def _advice(recipe: Recipe, root: Node) -> Iterator[tuple[int, str, str]]:
    if not recipe.description.strip():
        yield root.at("description").line, "description", "is missing; people choose by it"
    yield from _about_image(recipe, root)
    yield from _about_scripts(root)
    for index, parameter in enumerate(recipe.parameters):
        line = root.at("parameters", index).line
        if not parameter.description:
            yield line, parameter.name, "has no description"
        yield from _about_default(recipe, parameter, line)
    yield from _about_lifetime(recipe, root)


def _about_image(recipe: Recipe, root: Node) -> Iterator[tuple[int, str, str]]:
    image, line = recipe.image, root.at("image", "packages").line
    if isinstance(image, OciImage):
        tag = image.reference.rpartition("/")[2].partition(":")[2]
        if not image.digest and tag in ("", "latest"):
            said = "has no tag of its own: each push takes what is newest then; write a tag"
            yield root.at("image", "oci").line, "image.oci", said
        return
    assert isinstance(image, DebianImage)
    for package in image.packages:
        if package == "sudo":
            why = "added by root: contained" if image.sudo else "of no use with root: none"
            yield line, "image.packages", f"sudo is {why}; leave it out"
        elif package in _ALWAYS_THERE:
            yield line, "image.packages", f"{package} is always there; leave it out"


def _about_scripts(root: Node) -> Iterator[tuple[int, str, str]]:
    scripts = root.at("scripts")
    if isinstance(scripts.value, list):
        for node in scripts.value:
            if isinstance(node.value, dict) and "timeout" not in node.value:
                said = "has no timeout; it is killed after 10m"
                yield node.line, str(node.at("name").value), said


def _about_default(
    recipe: Recipe, parameter: Parameter, line: int
) -> Iterator[tuple[int, str, str]]:
    """The parameter's default drives the limit; another number under `resources` would mislead."""
    name = well_known(parameter.name)
    if name is None or name not in AMOUNTS or parameter.default in (None, ""):
        return
    assert parameter.default is not None
    found = amount(name, parameter.default)
    resources, lifecycle = recipe.resources, recipe.lifecycle
    field, other = {
        WellKnown.CPU: ("resources.cpu", resources.cpu_millis),
        WellKnown.MEMORY: ("resources.memory", resources.memory_mib),
        WellKnown.DISK: ("resources.disk", resources.disk_mib),
        WellKnown.TTL: ("lifecycle.ttl", lifecycle.ttl_s),
    }[limit(name)]
    if other != found:
        said = "never" if other is None else shown(limit(name), other)
        yield line, parameter.name, f"default {parameter.default} wins over {field} ({said})"


def _about_lifetime(recipe: Recipe, root: Node) -> Iterator[tuple[int, str, str]]:
    """Asking for a long life is of little use when each run is cut short."""
    most, runtime = recipe.ceilings.ttl_s, recipe.lifecycle.runtime_max_s
    if most is not None and runtime is not None and runtime < most:
        stop = shown(WellKnown.TTL, runtime)
        life = shown(WellKnown.TTL, most)
        said = f"stops a workspace after {stop} although it may live for {life}"
        yield root.at("lifecycle", "runtime_max").line, "lifecycle.runtime_max", said
    if recipe.lifecycle.ephemeral and recipe.root is RootMode.CONTAINED:
        said = "keeps nothing at stop, also not the home; people lose their work"
        yield root.at("lifecycle", "ephemeral").line, "lifecycle.ephemeral", said


def _try(recipe: Recipe, root: Node, report: Report) -> None:
    """A dry run with the defaults and with each preset."""
    runs: list[tuple[str, int, str | None]] = [("defaults", root.line, None)]
    runs += [
        (preset.name, root.at("presets", index).line, preset.name)
        for index, preset in enumerate(recipe.presets)
    ]
    for name, line, preset in runs:
        chosen = {key for p in recipe.presets if p.name == preset for key in p.parameters}
        given = {
            p.name: _example(p)
            for p in recipe.parameters
            if p.required and p.name not in chosen and _example(p) is not None
        }
        try:
            render(
                _without_rules(recipe, frozenset(given)),
                RenderRequest(name="dry-run", parameters=given, preset=preset),
            )
        except Invalid as error:
            for problem in error.errors:
                report.error(line, name, f"{problem.field}: {problem.message}")


def _example(parameter: Parameter) -> ParameterValue | None:
    """Stands in for an answer that only a person can give."""
    if parameter.name == WellKnown.REPO:
        return "https://example.com/repository.git"
    match parameter.type:
        case ParameterType.CHOICE:
            return parameter.options[0]
        case ParameterType.NUMBER:
            low = 1 if parameter.min is None else parameter.min
            return low if parameter.max is None else min(low, parameter.max)
        case ParameterType.BOOL:
            return False
        case ParameterType.LIST:
            return ()
        case ParameterType.STRING:
            return "example"


def _without_rules(recipe: Recipe, names: frozenset[str]) -> Recipe:
    """An example cannot match a pattern or a length; those are not what a dry run tries."""
    declared = tuple(
        replace(p, min=None, max=None, pattern=None) if p.name in names else p
        for p in recipe.parameters
    )
    return replace(recipe, parameters=declared)


def _unnamed(files: Mapping[str, bytes], root: Node) -> Iterator[Problem]:
    named = {FILE}
    scripts = root.at("scripts")
    if isinstance(scripts.value, list):
        named |= {str(node.at("run").value).strip().removeprefix("./") for node in scripts.value}
    texts = root.at("files")
    if isinstance(texts.value, dict):
        named |= {str(node.value).strip().removeprefix("./") for node in texts.value.values()}
    for path in sorted(files.keys() - named):
        if _UNNAMED.fullmatch(path) is None:
            said = f"nothing in {FILE} names it"
            yield Problem(path, 0, "", said, Severity.WARNING)
