"""Answers as a server gives them, with what a test cares about."""

import json
from typing import Any

from alcove.wire.workspaces import Workspace


def workspace_document(**changes: object) -> dict[str, Any]:
    return {
        "id": "ws-aaaaaaaaaaaaaaaa",
        "name": "api",
        "owner": "ada",
        "kind": "human",
        "template": "python",
        "template_version": 1,
        "phase": "running",
        "desired": "running",
        "reason": "",
        "health": "ok",
        "isolation": "container",
        "parameters": {},
        "labels": {},
        "repo": None,
        "branch": None,
        "ephemeral": False,
        "created_at": "2026-01-01T00:00:00Z",
        "started_at": None,
        "last_used_at": "2026-01-01T00:00:00Z",
        "expires_at": None,
        "stop_at": None,
        "node": None,
        "ports": [],
        "urls": {},
        "usage": None,
        "on_expiry": "delete",
        "auto_resume": False,
        "started": None,
        "started_why": "",
        "generation": 1,
        **changes,
    }


def workspace(**changes: object) -> Workspace:
    return Workspace.model_validate_json(json.dumps(workspace_document(**changes)))
