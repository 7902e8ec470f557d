"""The form that makes a workspace of a template: its questions, and what comes of the answers.

A link may fill it in (`/create/python?param.cpu=4&name=api&repo=…`); nothing is made before
somebody presses the button.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Path
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from alcove.config import Settings
from alcove.core import templates, workspaces
from alcove.core.app import Core
from alcove.core.templates import CatalogEntry
from alcove.http.access import needs
from alcove.http.body import read_form
from alcove.http.problem import faults_of
from alcove.model.access import Actor, Permission
from alcove.model.errors import (
    AlcoveError,
    Conflict,
    Denied,
    FieldError,
    Invalid,
    QuotaExceeded,
    Unsupported,
)
from alcove.model.price import read_prices
from alcove.model.template import Parameter, ParameterType, Preset, Recipe
from alcove.model.workspace import Lifetime, Spec
from alcove.web.catalog import icon_of
from alcove.web.contexts import Frame, Link
from alcove.web.frame import frame_of
from alcove.web.pages import CoreOf, render, router, see
from alcove.wire.workspaces import NewWorkspace

routes = router()
Name = Annotated[str, Path(max_length=64)]
Creator = Annotated[Actor, needs(Permission.WORKSPACE_CREATE)]
TOP: Final = ("name", "repo", "branch", "ttl")
"""What every form asks, beside the template's own questions."""
LOOK: Final = "look"
"""The button's name that only shows what the answers would make, without JavaScript."""
FILLED_MAX: Final = 4096
"""Characters of one value that a link fills in."""
MAIN_MAX: Final = 4
"""Questions that stand above the fold, unless more must be answered."""
_PREFIX: Final = "parameters."
_SHORT: Final = frozenset({"cpu", "gpu", "ide", "url"})


@dataclass(frozen=True, slots=True)
class Question:
    """One parameter as the form asks it."""

    field: str
    label: str
    kind: str
    """text, number, bool, choice or list."""
    value: object
    help: str
    options: Sequence[str]
    attributes: Mapping[str, str]
    required: bool
    rows: int
    error: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """What it costs while it runs, at its limits and the operator's prices."""

    hour: str
    day: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What the answers would make, or why they make nothing yet."""

    spec: Spec | None
    lifetime: Lifetime | None
    command: str
    fault: str = ""
    estimate: Estimate | None = None
    """None where no price is set."""


@dataclass(frozen=True, slots=True)
class CreatePage:
    frame: Frame
    template: str
    recipe: Recipe
    drawn: str
    """Its symbol in the sprite."""
    values: Mapping[str, str]
    errors: Mapping[str, str]
    others: Sequence[FieldError]
    main: Sequence[Question]
    more: Sequence[Question]
    asks_repo: bool
    """Whether the template does not ask for a repository by itself."""
    presets: Sequence[Preset]
    preset: str
    preview: Preview
    from_link: bool


@dataclass(frozen=True, slots=True)
class PreviewFragment:
    preview: Preview


@routes.get("/create/{name}")
async def form(request: Request, core: CoreOf, actor: Creator, name: Name) -> Response:
    entry = await templates.get(core, actor, name)
    values = filled(entry.version.recipe, request.query_params.multi_items())
    return await _form(
        request,
        core,
        actor,
        entry,
        values=values,
        preset=request.query_params.get("preset", ""),
        from_link=any(key != "preset" for key in request.query_params),
    )


@routes.post("/create/{name}/preview")
async def preview(request: Request, core: CoreOf, actor: Creator, name: Name) -> Response:
    """What the answers so far would make. Nothing is made."""
    entry = await templates.get(core, actor, name)
    made = await _preview(core, actor, entry, await read_form(request))
    return render("create_preview.html", PreviewFragment(made))


@routes.post("/create/{name}")
async def create(request: Request, core: CoreOf, actor: Creator, name: Name) -> Response:
    entry = await templates.get(core, actor, name)
    fields = await read_form(request)
    if LOOK in fields:
        return await _form(request, core, actor, entry, values=fields)
    faults: Sequence[FieldError]
    try:
        wanted = NewWorkspace.model_validate(wanted_of(entry, fields), strict=False)
        made = await workspaces.create(core, actor, wanted)
    except (ValidationError, Invalid) as error:
        faults = faults_of(error)
    except Conflict as error:
        faults = (FieldError("name" if fields.get("name") else "", str(error)),)
    except (Denied, QuotaExceeded, Unsupported) as error:
        faults = (FieldError("", str(error)),)
    else:
        return see(f"/workspaces/{made.id}")
    return await _form(request, core, actor, entry, values=fields, faults=faults)


@routes.get("/templates/{name}/new")
async def former(name: Name) -> Response:
    """Where the form was before."""
    return see(f"/create/{name}")


def filled(recipe: Recipe, query: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The values that an address fills in: only what the form asks, and nothing very long."""
    known = {_PREFIX + parameter.name for parameter in recipe.parameters}
    found: dict[str, str] = {}
    for preset in recipe.presets:
        if ("preset", preset.name) in query:
            for name, value in preset.parameters.items():
                found[_PREFIX + name] = text_of(value)
    for key, value in query:
        field = _PREFIX + key.removeprefix("param.") if key.startswith("param.") else key
        if (field in known or field in TOP) and len(value) <= FILLED_MAX:
            found[field] = value
    return found


def wanted_of(entry: CatalogEntry, fields: Mapping[str, str]) -> dict[str, object]:
    """Only what was answered: an empty field is the default."""
    wanted: dict[str, object] = {"template": entry.template.name}
    wanted |= {key: fields[key] for key in TOP if fields.get(key)}
    given = _answers(entry.version.recipe, fields)
    return wanted | ({"rich_parameters": given} if given else {})


def command_of(entry: CatalogEntry, fields: Mapping[str, str]) -> str:
    """The line that makes the same from a terminal; answers that are the default are left out."""
    words = ["alcove", "create"]
    if fields.get("name"):
        words.append(fields["name"])
    words += ["-t", entry.template.name]
    for name, text in _answers(entry.version.recipe, fields).items():
        words += ["-p", f"{name}={text}"]
    for name in ("repo", "branch", "ttl"):
        if fields.get(name):
            words += [f"--{name}", fields[name]]
    return " ".join(word if word == "-t" else shlex.quote(word) for word in words)


def text_of(value: object) -> str:
    """A parameter's value as a form has it."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case tuple() | list():
            return "\n".join(str(item) for item in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def _answers(recipe: Recipe, fields: Mapping[str, str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for parameter in recipe.parameters:
        text = fields.get(_PREFIX + parameter.name, "")
        before = text_of(parameter.default)
        if parameter.type is ParameterType.LIST and not text.startswith("["):
            # One in each line; on the wire a text of them has commas.
            text = ",".join(re.findall(r"[^\s,][^\r\n,]*", text))
            before = before.replace("\n", ",")
        if text and text != before:
            given[parameter.name] = text
    return given


def question_of(parameter: Parameter, values: Mapping[str, str], error: str) -> Question:
    field = _PREFIX + parameter.name
    value: object = values.get(field, text_of(parameter.default))
    attributes: dict[str, str] = {}
    kind = "text"
    match parameter.type:
        case ParameterType.NUMBER:
            kind = "number"
            attributes["step"] = "any"
            for name, limit in (("min", parameter.min), ("max", parameter.max)):
                if limit is not None:
                    attributes[name] = f"{limit:g}"
        case ParameterType.STRING:
            for name, limit in (("minlength", parameter.min), ("maxlength", parameter.max)):
                if limit is not None:
                    attributes[name] = f"{limit:g}"
            if parameter.pattern is not None:
                attributes["data-pattern"] = parameter.pattern
        case ParameterType.BOOL:
            kind, value = "bool", value == "true"
        case ParameterType.CHOICE:
            kind = "choice"
        case ParameterType.LIST:
            kind = "list"
    long = parameter.type is ParameterType.LIST or parameter.name == "task"
    return Question(
        field=field,
        label=_label(parameter),
        kind=kind,
        value=value,
        help=_help(parameter),
        options=parameter.options,
        attributes=attributes,
        required=parameter.required,
        rows=4 if long else 0,
        error=error,
    )


def _label(parameter: Parameter) -> str:
    if parameter.display_name and parameter.display_name != parameter.name:
        return parameter.display_name
    if parameter.name in _SHORT:
        return parameter.name.upper()
    words = parameter.name.replace("_", " ").replace("-", " ")
    return words[:1].upper() + words[1:]


def _help(parameter: Parameter) -> str:
    """What it is for, and what it may be."""
    bounds = ""
    if parameter.type is ParameterType.NUMBER:
        low, high = parameter.min, parameter.max
        if low is not None and high is not None:
            bounds = f"{low:g} to {high:g}."
        elif high is not None:
            bounds = f"At most {high:g}."
        elif low is not None:
            bounds = f"At least {low:g}."
    if parameter.type is ParameterType.LIST:
        bounds = "One in each line."
        if parameter.options:
            bounds += f" Of: {', '.join(parameter.options)}."
    fixed = "" if parameter.mutable else "Cannot change later."
    said = (parameter.description.strip(), bounds, fixed)
    return " ".join(part for part in said if part)


async def _preview(
    core: Core, actor: Actor, entry: CatalogEntry, fields: Mapping[str, str]
) -> Preview:
    command = command_of(entry, fields)
    try:
        wanted = NewWorkspace.model_validate(wanted_of(entry, fields), strict=False)
        _, made = await templates.render_dry(core, actor, entry.template.name, wanted)
    except ValidationError as error:
        [first, *_] = faults_of(error)
        return Preview(None, None, command, f"{first.field}: {first.message}")
    except AlcoveError as error:
        return Preview(None, None, command, str(error))
    estimate = estimate_of(core.settings, made.spec)
    return Preview(made.spec, made.lifetime, command, estimate=estimate)


def estimate_of(settings: Settings, spec: Spec) -> Estimate | None:
    prices = read_prices(
        settings.price_per_cpu_hour, settings.price_per_gib_hour, settings.price_currency
    )
    if prices is None:
        return None
    hour = prices.hourly(spec.resources)
    return Estimate(prices.say(hour), prices.say(hour * 24))


async def _form(
    request: Request,
    core: Core,
    actor: Actor,
    entry: CatalogEntry,
    *,
    values: Mapping[str, str],
    faults: Sequence[FieldError] = (),
    preset: str = "",
    from_link: bool = False,
) -> Response:
    recipe = entry.version.recipe
    own = {parameter.name for parameter in recipe.parameters}
    known = {*TOP, *(_PREFIX + name for name in own)}
    # A template's own `repo` is asked for among its parameters.
    named = {
        _PREFIX + fault.field if fault.field in own else fault.field: fault.message
        for fault in reversed(faults)
    }
    questions = [
        question_of(parameter, values, named.get(_PREFIX + parameter.name, ""))
        for parameter in recipe.parameters
    ]
    main = [q for n, q in enumerate(questions) if n < MAIN_MAX or q.required or q.error]
    context = CreatePage(
        frame=frame_of(
            request,
            actor,
            here="/templates",
            crumbs=(Link("Templates", "/templates"), Link(recipe.display_name)),
        ),
        template=entry.template.name,
        recipe=recipe,
        drawn=icon_of(recipe),
        values=values,
        errors={field: said for field, said in named.items() if field in known},
        others=[f for f in faults if f.field not in known and _PREFIX + f.field not in known],
        main=main,
        more=[q for q in questions if q not in main],
        asks_repo="repo" not in own,
        presets=recipe.presets,
        preset=preset,
        preview=await _preview(core, actor, entry, values),
        from_link=from_link,
    )
    return render("create.html", context, status=422 if faults else 200)
