"""`alcove template …`: the catalog."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from alcove.cli import screen
from alcove.cli.screen import Column
from alcove.cli.session import Json, TemplateName, connect

if TYPE_CHECKING:
    from alcove.wire.templates import Template, TemplateParameter

app = typer.Typer(help="The catalog of templates.", no_args_is_help=True)
Directory = Annotated[
    Path, typer.Argument(metavar="DIR", help="Where template.yaml is.", file_okay=False)
]
OtherName = Annotated[
    str | None, typer.Option("--name", "-n", help="Default: template.yaml's, or the directory's.")
]


@app.command("push")
def push(
    directory: Directory,
    name: OtherName = None,
    message: Annotated[str | None, typer.Option("--message", "-m", help="What changed.")] = None,
    promote: Annotated[
        bool, typer.Option("--promote", help="Make it what new workspaces get.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Push a directory as a new version; the same files make no new one."""
    with connect() as api, screen.progress(f"pushing {directory}"):
        pushed = api.templates.push(directory, name=name, message=message, promote=promote)
    if as_json:
        screen.print_json(pushed)
        return
    for warning in pushed.warnings:
        screen.say_warning(warning.text)
    state = "active" if pushed.active else "not active"
    screen.say_done(f"{pushed.template} version {pushed.number} ({state})")
    if not pushed.active:
        screen.say(
            f"Make it active with `alcove template promote {pushed.template} {pushed.number}`."
        )


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List templates."""
    with connect() as api:
        templates = list(api.templates.list())
    if as_json:
        screen.print_json({"items": templates})
        return
    screen.print_table(
        [
            Column("NAME"),
            Column("ACTIVE", 1, right=True),
            Column("KIND", 2),
            Column("CHANGED", 3),
            Column("SUMMARY", 4),
        ],
        [
            (
                template.name,
                str(template.active or "none"),
                template.kind,
                screen.ago(template.updated_at),
                _summary(template.description) or template.display_name,
            )
            for template in templates
        ],
        empty="There are no templates. `alcove template push DIR --promote` adds one.",
    )


@app.command("show")
def show(name: TemplateName, as_json: Json = False) -> None:
    """Show a template and the parameters that it asks for."""
    with connect() as api:
        template = api.templates.get(name)
    if as_json:
        screen.print_json(template)
        return
    screen.print_facts(_facts(template))
    if template.parameters:
        screen.answer("")
        screen.print_table(
            [
                Column("PARAMETER"),
                Column("TYPE"),
                Column("DEFAULT", 1),
                Column("ALLOWED", 2),
                Column("DESCRIPTION", 3),
            ],
            [
                (p.name, p.type, _default(p), _allowed(p), _summary(p.description))
                for p in template.parameters
            ],
            empty="",
        )


@app.command("versions")
def versions(name: TemplateName, as_json: Json = False) -> None:
    """List the versions of a template, the newest first."""
    with connect() as api:
        found = list(api.templates.versions(name))
    if as_json:
        screen.print_json({"items": found})
        return
    screen.print_table(
        [
            Column("VERSION", right=True),
            Column("STATE"),
            Column("PUSHED", 1),
            Column("BY", 2),
            Column("DIGEST", 4),
            Column("MESSAGE", 3),
        ],
        [
            (
                str(version.number),
                "active" if version.active else "",
                screen.ago(version.created_at),
                version.created_by,
                version.digest[:19],
                version.message,
            )
            for version in found
        ],
        empty=f"{name} has no versions.",
    )


@app.command("promote")
def promote(
    name: TemplateName,
    version: Annotated[int, typer.Argument(metavar="VERSION", help="See `versions`.", min=1)],
    as_json: Json = False,
) -> None:
    """Make a version what new workspaces get; an older one rolls back."""
    with connect() as api:
        template = api.templates.promote(name, version)
    if as_json:
        screen.print_json(template)
    else:
        screen.say_done(f"new workspaces of {name} get version {version}")


@app.command("lint")
def lint(directory: Directory, name: OtherName = None, as_json: Json = False) -> None:
    """Check a directory as a push would, without pushing. Exits with 1 if there are errors."""
    with connect() as api:
        found = api.templates.lint(directory, name=name)
    if as_json:
        screen.print_json(found)
    else:
        for problem in found.problems:
            screen.answer(f"{problem.severity}: {problem.text}")
        if found.ok:
            screen.say_done(f"{directory} is a good template")
    if not found.ok:
        raise typer.Exit(1)


def _facts(template: "Template") -> list[tuple[str, str]]:
    resources, ceilings = template.resources, template.ceilings
    return [
        ("Name", template.name),
        ("Title", template.display_name),
        ("Kind", template.kind),
        ("Active version", str(template.active or "none")),
        ("Latest version", str(template.latest)),
        ("Isolation", template.isolation),
        ("Network", template.network),
        ("CPU", _of(resources.cpu, ceilings.cpu, "")),
        ("Memory", _of(resources.memory_mib, ceilings.memory_mib, " MiB")),
        ("Disk", _of(resources.disk_mib, ceilings.disk_mib, " MiB")),
        ("Presets", ", ".join(preset.name for preset in template.presets)),
        ("Description", template.description.strip()),
    ]


def _of(value: float | None, ceiling: float | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{value:g}{unit}" + (f" (at most {ceiling:g}{unit})" if ceiling is not None else "")


def _default(parameter: "TemplateParameter") -> str:
    if parameter.default is None:
        return "required" if parameter.required else ""
    default = cast("object", parameter.default)
    if isinstance(default, list):
        return ",".join(str(item) for item in cast("list[object]", default))
    return str(default)


def _allowed(parameter: "TemplateParameter") -> str:
    if parameter.options:
        return ", ".join(parameter.options)
    match parameter.min, parameter.max:
        case None, None:
            return parameter.pattern or ""
        case low, None:
            return f"at least {low:g}"
        case None, high:
            return f"at most {high:g}"
        case low, high:
            return f"{low:g} to {high:g}"


def _summary(description: str) -> str:
    return description.strip().partition("\n")[0]
