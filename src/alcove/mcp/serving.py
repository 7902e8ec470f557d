"""The protocol, by its own library: messages in and out, tools listed and called.

Everything that goes wrong in a tool is a tool's error, in words that say what to do, since a
model reads those; protocol errors are for messages that are none.
"""

import json
import logging
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any, Final

import anyio
import structlog
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http import REQUEST_CANCELLED
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    ToolAnnotations,
)
from mcp_types import Tool as ListedTool
from starlette.types import Receive, Scope, Send

from alcove.core import identity
from alcove.http.body import parse
from alcove.http.problem import HttpError
from alcove.mcp.advice import advised
from alcove.mcp.calls import CALLER, Caller, Result, Tool, Use, input_schema, output_schema
from alcove.mcp.endpoint import BODY_MAX
from alcove.mcp.tools import ALL
from alcove.model.access import ANY, OWN, Actor, Permission
from alcove.model.errors import AlcoveError, Unauthenticated

RECHECK_S: Final = 0.2
INSTRUCTIONS: Final = (
    "Sandboxes are disposable Linux machines (Alcove calls them workspaces). Make one with "
    "create_sandbox, work in it with run_command and the file tools, and delete it with "
    "delete_sandbox when the work is done. Name a sandbox by the id or name that create_sandbox "
    "answers. Paths that do not begin with / are below the home directory; so does ~. A command "
    "ends when its call does: start what has to go on, such as a server, with start_background."
)
_log = structlog.get_logger("alcove.mcp")
_Context = ServerRequestContext[dict[str, Any], Any]


def build() -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """What serves one request, whose scope carries a Caller."""
    logging.getLogger("mcp").setLevel(logging.WARNING)
    logging.getLogger("sse_starlette").setLevel(logging.WARNING)
    tools = {tool.name: tool for tool in ALL}
    listed = {name: _listed(tool) for name, tool in tools.items()}

    async def list_tools(
        context: _Context, _params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        actor = _caller(context).actor
        shown = [listed[t.name] for t in ALL if _might(actor, t.permission)]
        return ListToolsResult(tools=shown)

    async def call_tool(context: _Context, params: CallToolRequestParams) -> CallToolResult:
        tool = tools.get(params.name)
        if tool is None:
            known = ", ".join(tools)
            raise MCPError(
                INVALID_PARAMS, f"there is no tool {params.name[:64]!r}; there is {known}"
            )
        return await _call(context, tool, params.arguments or {})

    server: Server[dict[str, Any]] = Server(
        "alcove",
        version=version("alcove"),
        title="Alcove sandboxes",
        instructions=INSTRUCTIONS,
        get_tool_input_schema=lambda name: listed[name].input_schema if name in listed else None,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        # Without state there is nothing that one for all requests would hold, and so each
        # request's tasks are its own.
        manager = StreamableHTTPSessionManager(
            server, stateless=True, max_request_body_size=BODY_MAX
        )
        async with manager.run():
            await manager.handle_request(scope, receive, send)

    return serve


async def _call(context: _Context, tool: Tool[Any], given: dict[str, Any]) -> CallToolResult:
    caller = _caller(context)
    outcome: Result | Exception = Unauthenticated("the token is no longer good")
    with caller.under_way.call(caller.session, context.request_id) as cancelled:
        outcome = await _checked_while(caller, lambda: _run(caller, context, tool, given))
    if cancelled.cancelled_caught:
        raise MCPError(REQUEST_CANCELLED, "the call was cancelled, and what it ran is ended")
    if isinstance(outcome, Exception):
        if not isinstance(outcome, (AlcoveError, HttpError)):
            _log.error("failed", tool=tool.name, exc_info=outcome)
        text = TextContent(text=advised(outcome))
        return CallToolResult(content=[text], is_error=True)
    return CallToolResult(
        content=[TextContent(text=outcome.text)],
        structured_content=outcome.answer.model_dump(mode="json"),
    )


async def _checked_while(
    caller: Caller, act: Callable[[], Awaitable[Result | Exception]]
) -> Result | Exception:
    """Act, for as long as the caller may: a revoked token's call ends within a second."""
    outcome: list[Result | Exception] = []

    async def check() -> None:
        while True:
            await anyio.sleep(RECHECK_S)
            try:
                await identity.recheck(caller.core, caller.actor)
            except Unauthenticated as error:
                outcome.append(error)
                tasks.cancel_scope.cancel()
                return

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(check)
        outcome.append(await act())
        tasks.cancel_scope.cancel()
    return outcome[0]


async def _run(
    caller: Caller, context: _Context, tool: Tool[Any], given: dict[str, Any]
) -> Result | Exception:
    async def progress(done: float, total: float | None, message: str) -> None:
        await context.session.report_progress(done, total, message)

    try:
        arguments = parse(tool.arguments, json.dumps(given))
        return await tool.run(Use(caller.core, caller.actor, progress, caller.link_url), arguments)
    except Exception as error:
        return error


def _listed(tool: Tool[Any]) -> ListedTool:
    return ListedTool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=dict(input_schema(tool)),
        output_schema=dict(output_schema(tool)),
        annotations=ToolAnnotations(
            read_only_hint=tool.reads_only,
            destructive_hint=tool.destroys,
            idempotent_hint=tool.repeatable or tool.reads_only,
            open_world_hint=tool.reaches_out,
        ),
    )


def _caller(context: _Context) -> Caller:
    assert context.request is not None
    caller: Caller = context.request.scope[CALLER]
    return caller


def _might(actor: Actor, permission: Permission) -> bool:
    """Whether there can be anything at all that the actor may do this to."""
    if actor.scopes is not None and permission not in actor.scopes:
        return False
    return permission in OWN[actor.role] | ANY[actor.role]
