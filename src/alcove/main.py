"""The composition root: one command, three programs.

`alcove server` and `alcove host` are imported only when asked for, so that the client stays
quick to start and installs without the server's dependencies.
"""

import sys


def main() -> None:
    """Run what the first argument names; everything that is not a server is the client."""
    try:
        match sys.argv[1:2]:
            case ["host"]:
                from alcove.host.main import main as run  # noqa: PLC0415
            case ["server"]:
                from alcove.server import main as run  # noqa: PLC0415
            case _:
                from alcove.cli.main import main as run  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if (error.name or "alcove").partition(".")[0] == "alcove":
            raise
        sys.stderr.write(
            f"alcove: this is the client alone ({error.name} is not installed); "
            "for the server run `pip install 'alcove[server]'`\n"
        )
        raise SystemExit(1) from None
    raise SystemExit(run(sys.argv[1:]))
