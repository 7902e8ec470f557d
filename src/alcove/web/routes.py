"""All pages, as the server includes them."""

from typing import Final

from fastapi import APIRouter

from alcove.web import (
    account,
    audit,
    catalog,
    create,
    devices,
    exec_outputs,
    fleet,
    live,
    live_sessions,
    palette,
    patterns,
    people,
    pools,
    ports,
    recordings,
    server_health,
    sign_in,
    templates,
    terminal,
    workspace,
    workspace_parts,
    workspaces,
)

PAGES: Final[tuple[APIRouter, ...]] = (
    sign_in.routes,
    devices.routes,
    workspaces.routes,
    workspace.routes,
    workspace_parts.routes,
    ports.routes,
    terminal.routes,
    catalog.routes,
    create.routes,
    live.routes,
    live_sessions.routes,
    palette.routes,
    patterns.routes,
    exec_outputs.routes,
    recordings.routes,
    fleet.routes,
    audit.routes,
    people.routes,
    account.routes,
    templates.routes,
    pools.routes,
    server_health.routes,
)
