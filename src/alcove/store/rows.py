"""Rows to frozen values and back, for what is stored as JSON text.

Values written by an older release must still load: unknown fields are ignored, and a new field
needs a default.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any, Final

from pydantic import TypeAdapter
from sqlalchemy import Row

from alcove.model.template import Recipe, Template, TemplateVersion
from alcove.model.workspace import (
    Desired,
    Handle,
    Kind,
    Lifetime,
    Phase,
    Spec,
    StartedFrom,
    UserId,
    Workspace,
    WorkspaceId,
)

PARSED_MAX: Final = 2048
"""Texts of each kind whose values are kept: a value is frozen, and the same rows come often."""
_SPEC: Final = TypeAdapter(Spec)
_HANDLE: Final = TypeAdapter(Handle)
_LIFETIME: Final = TypeAdapter(Lifetime)
_RECIPE: Final = TypeAdapter(Recipe)


def dump_json(value: Mapping[str, object]) -> str:
    """Canonical: sorted and without spaces, so that a label can be looked for as text."""
    return json.dumps(dict(value), sort_keys=True, separators=(",", ":"), default=str)


def dump_handle(handle: Handle | None) -> str | None:
    return None if handle is None else json.dumps(asdict(handle))


def load_handle(text: str | None) -> Handle | None:
    return None if text is None else _HANDLE.validate_json(text)


def dump_workspace(workspace: Workspace) -> Mapping[str, Any]:
    """Every column but the lease's and `leftovers`."""
    return {
        "id": workspace.id,
        "name": workspace.name,
        "owner": workspace.owner,
        "kind": workspace.kind,
        "template": workspace.template,
        "template_version": workspace.template_version,
        "spec": dump_spec(workspace.spec),
        "parameters": dump_json(workspace.parameters),
        "labels": dump_json(workspace.labels),
        "repo": workspace.repo,
        "branch": workspace.branch,
        "lifetime": dump_lifetime(workspace.lifetime),
        "ephemeral": workspace.spec.ephemeral,
        "desired": workspace.desired,
        "phase": workspace.phase,
        "reason": workspace.reason,
        "health": workspace.health,
        "handle": dump_handle(workspace.handle),
        "boot": workspace.boot,
        "retire_boot": workspace.retire_boot,
        "generation": workspace.generation,
        "failures": workspace.failures,
        "created_at": workspace.created_at,
        "started_at": workspace.started_at,
        "last_used_at": workspace.last_used_at,
        "announced_at": workspace.announced_at,
        "expires_at": workspace.expires_at,
        "stop_at": workspace.stop_at,
        "check_at": workspace.check_at,
        "pool": workspace.pool,
        "started": workspace.started,
        "started_why": workspace.started_why,
    }


def dump_spec(spec: Spec) -> str:
    return _SPEC.dump_json(spec).decode()


@lru_cache(PARSED_MAX)
def load_spec(text: str) -> Spec:
    return _SPEC.validate_json(text)


def dump_lifetime(lifetime: Lifetime) -> str:
    return _LIFETIME.dump_json(lifetime).decode()


@lru_cache(PARSED_MAX)
def _load_lifetime(text: str) -> Lifetime:
    return _LIFETIME.validate_json(text)


def load_workspace(row: Row[Any]) -> Workspace:
    return Workspace(
        id=WorkspaceId(row.id),
        name=row.name,
        owner=UserId(row.owner),
        kind=Kind(row.kind),
        template=row.template,
        template_version=row.template_version,
        spec=load_spec(row.spec),
        parameters=json.loads(row.parameters),
        labels=json.loads(row.labels),
        repo=row.repo,
        branch=row.branch,
        lifetime=_load_lifetime(row.lifetime),
        desired=Desired(row.desired),
        phase=Phase(row.phase),
        reason=row.reason,
        health=row.health,
        handle=load_handle(row.handle),
        boot=row.boot,
        retire_boot=row.retire_boot,
        generation=row.generation,
        failures=row.failures,
        created_at=row.created_at,
        started_at=row.started_at,
        last_used_at=row.last_used_at,
        expires_at=row.expires_at,
        stop_at=row.stop_at,
        announced_at=row.announced_at,
        check_at=row.check_at,
        pool=row.pool,
        started=None if row.started is None else StartedFrom(row.started),
        started_why=row.started_why,
    )


def dump_recipe(recipe: Recipe) -> str:
    return _RECIPE.dump_json(recipe).decode()


@lru_cache(PARSED_MAX)
def _load_recipe(text: str) -> Recipe:
    return _RECIPE.validate_json(text)


def load_template(row: Row[Any]) -> Template:
    return Template(
        name=row.name,
        active=row.active,
        latest=row.latest,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def load_version(row: Row[Any]) -> TemplateVersion:
    return TemplateVersion(
        template=row.template,
        number=row.number,
        recipe=_load_recipe(row.recipe),
        digest=row.digest,
        message=row.message,
        created_at=row.created_at,
        created_by=UserId(row.created_by),
    )
