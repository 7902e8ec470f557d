"""The JSON Schema of `template.yaml`, for editors and CI: the declaration that `native` reads.

It knows names, types and bounds. Rules between fields (ceilings, defaults, patterns) need `lint`.
"""

from typing import Any

from alcove.recipes.fields import TEMPLATE


def schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12; served at `/schemas/template.json`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "/schemas/template.json",
        "title": "Alcove template",
        "description": "template.yaml: a recipe for workspaces.",
        **TEMPLATE.schema(),
    }
