"""Reaching what listens in a sandbox."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import Field

from alcove.core import access, identity, ports
from alcove.mcp.calls import Result, Tool, Use
from alcove.mcp.tools.fields import Sandbox
from alcove.model.access import Permission
from alcove.wire.base import Answer, Request

TTL_S: Final = 3600
TTL_MAX_S: Final = 86_400


class PortLink(Answer):
    url: str
    port: int
    listening: bool
    """Whether something answers there now."""
    expires_at: datetime


class ExposeArguments(Request):
    sandbox: Sandbox
    port: Annotated[int, Field(ge=1, le=65535)]
    ttl_s: Annotated[
        int, Field(ge=60, le=TTL_MAX_S, description="How long the link is good for.")
    ] = TTL_S


async def expose(use: Use, asked: ExposeArguments) -> Result:
    permission = Permission.WORKSPACE_UPDATE
    workspace = await access.workspace(use.core, use.actor, asked.sandbox, permission)
    found = await ports.listening(use.core, workspace)
    link = await ports.sign(use.core, use.actor, workspace, asked.port, ttl_s=asked.ttl_s)
    names = await identity.names(use.core, [workspace.owner])
    url = use.link_url(use.core.settings, link, workspace, owner=names[workspace.owner])
    answer = PortLink(
        url=url,
        port=asked.port,
        listening=any(one.port == asked.port for one in found),
        expires_at=datetime.fromtimestamp(link.expires, UTC),
    )
    text = f"{url}\nWhoever has this link may open it, for {asked.ttl_s} s."
    if not answer.listening:
        there = ", ".join(str(one.port) for one in found) or "none"
        text += (
            f"\nNothing listens on port {asked.port} yet (ports that do: {there}). Start a "
            "server there with start_background."
        )
    return Result(text, answer)


TOOLS: Final[tuple[Tool[Any], ...]] = (
    Tool(
        name="expose_port",
        title="Expose a port",
        description=(
            "Make a link to a web server that runs in a sandbox, for your user's browser. The "
            f"link holds its own permission and is good for at most {TTL_MAX_S // 3600} hours: "
            "show it to your user only. Start the server with start_background first."
        ),
        permission=Permission.WORKSPACE_UPDATE,
        arguments=ExposeArguments,
        answer=PortLink,
        run=expose,
    ),
)
