"""Templates, versions, problems and dry runs as clients see them."""

from collections.abc import Sequence

from alcove.core.templates import CatalogEntry
from alcove.model.template import Ceilings, Parameter, TemplateVersion
from alcove.model.units import format_duration
from alcove.model.workspace import Resources
from alcove.recipes.problem import Problem
from alcove.recipes.render import Rendered
from alcove.wire import templates as wire


def present(entry: CatalogEntry) -> wire.Template:
    recipe = entry.version.recipe
    return wire.Template(
        name=entry.template.name,
        display_name=recipe.display_name,
        description=recipe.description,
        icon=recipe.icon,
        kind=recipe.kind,
        active=entry.template.active,
        latest=entry.template.latest,
        isolation=recipe.isolation,
        network=recipe.network,
        resources=_resources(recipe.resources),
        ceilings=_resources(recipe.ceilings),
        parameters=[present_parameter(p) for p in recipe.parameters],
        presets=[
            wire.TemplatePreset(
                name=preset.name,
                description=preset.description,
                parameters=dict(preset.parameters),
            )
            for preset in recipe.presets
        ],
        created_at=entry.template.created_at,
        updated_at=entry.template.updated_at,
    )


def present_parameter(parameter: Parameter) -> wire.TemplateParameter:
    return wire.TemplateParameter(
        name=parameter.name,
        type=parameter.type,
        display_name=parameter.display_name,
        description=parameter.description,
        default=parameter.default,
        required=parameter.required,
        mutable=parameter.mutable,
        min=parameter.min,
        max=parameter.max,
        pattern=parameter.pattern,
        options=list(parameter.options),
    )


def present_version(
    version: TemplateVersion,
    created_by: str,
    *,
    active: bool,
    warnings: Sequence[wire.TemplateProblem] = (),
) -> wire.TemplateVersion:
    return wire.TemplateVersion(
        template=version.template,
        number=version.number,
        active=active,
        digest=version.digest,
        message=version.message,
        created_at=version.created_at,
        created_by=created_by,
        warnings=list(warnings),
    )


def present_problem(problem: Problem) -> wire.TemplateProblem:
    return wire.TemplateProblem(
        file=problem.file,
        line=problem.line or None,
        field=problem.field,
        message=problem.message,
        severity=problem.severity,
        text=str(problem),
    )


def present_rendered(version: TemplateVersion, made: Rendered) -> wire.Rendered:
    spec, lifetime = made.spec, made.lifetime
    return wire.Rendered(
        template=version.template,
        template_version=version.number,
        parameters=dict(made.parameters),
        isolation=spec.isolation,
        network=spec.network,
        resources=_resources(spec.resources),
        env=dict(spec.env),
        ephemeral=spec.ephemeral,
        ttl=_duration(lifetime.ttl_s),
        idle_stop=_duration(lifetime.idle_stop_s),
        repo=made.repo,
        branch=made.branch,
    )


def _resources(limits: Resources | Ceilings) -> wire.TemplateResources:
    return wire.TemplateResources(
        cpu=None if limits.cpu_millis is None else limits.cpu_millis / 1000,
        memory_mib=limits.memory_mib,
        disk_mib=limits.disk_mib,
        pids=limits.pids,
    )


def _duration(seconds: int | None) -> str | None:
    return None if seconds is None else format_duration(seconds)
