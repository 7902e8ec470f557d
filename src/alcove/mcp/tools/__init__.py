"""The tools: one file for each kind, and one line here."""

from typing import Any, Final

from alcove.mcp.calls import Tool
from alcove.mcp.tools import (
    background,
    catalog,
    commands,
    editing,
    files,
    ports,
    sandboxes,
    searching,
    snapshots,
)

ALL: Final[tuple[Tool[Any], ...]] = (
    *sandboxes.TOOLS,
    *catalog.TOOLS,
    *commands.TOOLS,
    *background.TOOLS,
    *files.TOOLS,
    *editing.TOOLS,
    *searching.TOOLS,
    *ports.TOOLS,
    *snapshots.TOOLS,
)
