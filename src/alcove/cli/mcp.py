"""`alcove mcp`: sandboxes as tools for a client on this machine, over stdin and stdout."""

import signal
import sys
from typing import Annotated

import typer


def mcp(
    url: Annotated[
        str | None, typer.Option("--url", help="The server, if not the one signed in to.")
    ] = None,
) -> None:
    """Speak MCP over stdin and stdout, for desktop clients and editors.

    Passes everything on to the server that `ALCOVE_URL` or `alcove login` names, with its token.
    """
    # Only a client's own configuration shows whether it is one; a person should be told.
    if sys.stdin.isatty():
        sys.stderr.write("alcove mcp is started by an MCP client and waits for its messages.\n")
    import anyio  # noqa: PLC0415

    from alcove.cli.mcp_relay import relay  # noqa: PLC0415
    from alcove.sdk.credentials import resolve  # noqa: PLC0415

    endpoint = resolve(url)
    # A thread that waits for input would hold up the end of the program.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    anyio.run(relay, endpoint, sys.stdin.buffer, sys.stdout.buffer)
