"""Where `alcove …` begins: the quick way out for `--version`, and every error as an exit code.

Exit codes: 0 done · 1 failed · 2 usage · 3 not found · 4 denied · 5 conflict · 6 unreachable.
"""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from alcove.sdk.errors import AlcoveError

FAILED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
DENIED: Final = 4
CONFLICT: Final = 5
UNREACHABLE: Final = 6
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141


def main(argv: Sequence[str]) -> int:
    """Run one command. Returns its exit code; nothing but a bug of ours raises."""
    if list(argv) in (["--version"], ["-V"]):
        # Before anything else is loaded: scripts and prompts ask this often.
        from alcove.sdk.version import VERSION  # noqa: PLC0415

        sys.stdout.write(f"alcove {VERSION}\n")
        return 0
    from alcove.sdk.errors import AlcoveError  # noqa: PLC0415

    try:
        if list(argv[:2]) == ["ssh", "--stdio"]:
            from alcove.cli import ssh_stdio  # noqa: PLC0415 - each connection waits for it

            ssh_stdio.main(argv)
            return 0
        from alcove.cli.app import app  # noqa: PLC0415 - typer takes longer than the version

        app(args=list(argv), prog_name="alcove")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else FAILED
    except AlcoveError as error:
        report(error, as_json=_wants_json(argv))
        return exit_code(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has gone; what is left in the buffer goes nowhere, quietly.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:
        sys.stderr.write(f"alcove: {error}\n")
        return FAILED
    return 0


def exit_code(error: "AlcoveError") -> int:
    """The code for an error, by its class."""
    from alcove.sdk import errors  # noqa: PLC0415

    for kind, code in (
        (errors.NotFound, NOT_FOUND),
        (errors.Denied, DENIED),
        (errors.Conflict, CONFLICT),
        (errors.Unavailable, UNREACHABLE),
        (errors.Invalid, USAGE),
    ):
        if isinstance(error, kind):
            return code
    return FAILED


def report(error: "AlcoveError", *, as_json: bool) -> None:
    """What happened, to which field, and what to do now; on stderr."""
    from alcove.cli.screen import clean  # noqa: PLC0415

    if as_json:
        import json  # noqa: PLC0415

        fields = [{"field": e.field, "message": e.message} for e in error.errors]
        document = {
            "code": error.code,
            "message": error.message,
            "status": error.status,
            "errors": fields,
            "request_id": error.request_id,
        }
        sys.stderr.write(json.dumps({"error": document}) + "\n")
        return
    sys.stderr.write(f"alcove: {clean(error.message, lines=True)}\n")
    for fault in error.errors:
        if fault.message not in error.message:
            sys.stderr.write(f"  {clean(fault.field)}: {clean(fault.message)}\n")
    advice = _advice(error)
    if advice:
        sys.stderr.write(f"{advice}\n")


def _advice(error: "AlcoveError") -> str:
    from alcove.sdk import errors  # noqa: PLC0415

    match error:
        case errors.Unauthenticated() if error.status is not None:
            return "Sign in again with `alcove login`, or set ALCOVE_TOKEN."
        case errors.RateLimited() if error.retry_after_s is not None:
            return f"Try again in {error.retry_after_s:.0f} s."
        case errors.Unavailable() if error.status is None:
            return "Is the server up, and ALCOVE_URL right? `alcove status` tells where it looks."
        case _ if error.status is not None and error.status >= 500 and error.request_id:
            return f"The server's log has more under request {error.request_id}."
        case _:
            return ""


def _wants_json(argv: Sequence[str]) -> bool:
    own = argv[: argv.index("--")] if "--" in argv else argv
    return "--json" in own
