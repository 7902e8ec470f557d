"""Finding text in files, with what the sandbox has: ripgrep, else grep."""

from typing import Annotated, Any, Final

from pydantic import Field, StringConstraints

from alcove.core import execs
from alcove.core.agent import Call
from alcove.core.frames import Frame
from alcove.mcp.calls import Result, Tool, Use
from alcove.mcp.tools.fields import Directory, Sandbox
from alcove.model.access import Permission
from alcove.model.errors import Invalid
from alcove.wire.base import Answer, Request

TIMEOUT_S: Final = 30
MATCHES: Final = 100
MATCHES_MAX: Final = 500
LINE_MAX: Final = 400
OUTPUT_MAX: Final = 4 << 20
_NOTHING: Final = 1
_PATTERN: Final = r"^[^\x00\n]+$"
_SEARCH: Final = """
root=$1 pattern=$2 glob=$3 fixed=$4 case=$5
cd -- "$root" || exit 3
if command -v rg >/dev/null 2>&1; then
  set -- --no-config --no-heading --with-filename --line-number --null --color never --sort path
  set -- "$@" --hidden --glob '!.git' --max-columns 100000
  [ -z "$glob" ] || set -- "$@" --glob "$glob"
  [ -z "$fixed" ] || set -- "$@" --fixed-strings
  [ -z "$case" ] || set -- "$@" --ignore-case
  exec rg "$@" --regexp "$pattern" .
fi
set -- -rnIHZ --exclude-dir=.git
[ -z "$glob" ] || set -- "$@" --include="$glob"
if [ -n "$fixed" ]; then set -- "$@" -F; else set -- "$@" -E; fi
[ -z "$case" ] || set -- "$@" -i
exec grep "$@" -e "$pattern" .
"""


class Match(Answer):
    path: str
    """Relative to where the search began."""
    line: int
    text: str


class Matches(Answer):
    items: list[Match]
    truncated: bool


class SearchArguments(Request):
    sandbox: Sandbox
    pattern: Annotated[
        str,
        StringConstraints(min_length=1, max_length=1000, pattern=_PATTERN),
        Field(description="A regular expression, unless fixed is true."),
    ]
    path: Directory = "~"
    glob: Annotated[
        str | None,
        Field(
            max_length=200,
            pattern=r"^[^\x00\n-][^\x00\n]*$",
            description="Only files whose name fits, such as *.py.",
        ),
    ] = None
    fixed: Annotated[bool, Field(description="The pattern is plain text.")] = False
    ignore_case: bool = False
    limit: Annotated[int, Field(ge=1, le=MATCHES_MAX)] = MATCHES


async def search(use: Use, asked: SearchArguments) -> Result:
    words = (asked.pattern, asked.glob or "", "1" * asked.fixed, "1" * asked.ignore_case)
    call = Call(
        command=("/bin/sh", "-c", _SEARCH, "alcove-search", ".", *words),
        cwd=asked.path,
        timeout_s=TIMEOUT_S,
        shown=("search", asked.pattern, asked.path),
    )
    found: list[Match] = []
    rest, errors, seen = b"", b"", 0
    ended: execs.Exit | None = None
    async with execs.stream(use.core, use.actor, asked.sandbox, call) as frames:
        async for kind, payload in frames:
            if kind is Frame.STDOUT:
                seen += len(payload)
                *lines, rest = (rest + payload).split(b"\n")
                found += [match for line in lines if (match := _match(line)) is not None]
                if len(found) > asked.limit or seen > OUTPUT_MAX:
                    break
            elif kind is Frame.STDERR:
                errors = (errors + payload)[:2000]
            elif kind is Frame.EXIT:
                ended = execs.read_exit(payload)
    if ended is not None and ended.exit_code > _NOTHING and not found:
        said = errors.decode(errors="replace").strip() or f"it took over {TIMEOUT_S} s"
        raise Invalid(f"the search failed: {said}")
    whole = ended is not None and len(found) <= asked.limit
    # grep answers in the order of the file system.
    kept = sorted(found[: asked.limit], key=lambda match: (match.path, match.line))
    return _result(kept, asked, whole=whole)


def _match(line: bytes) -> Match | None:
    path, nul, rest = line.partition(b"\0")
    number, colon, text = rest.partition(b":")
    if not nul or not colon or not number.isdigit():
        return None
    shown = text.decode(errors="replace").rstrip("\r")
    shown = shown if len(shown) <= LINE_MAX else shown[:LINE_MAX] + "…"
    name = path.decode(errors="replace").removeprefix("./")
    return Match(path=name, line=int(number), text=shown)


def _result(found: list[Match], asked: SearchArguments, *, whole: bool) -> Result:
    lines = [f"{match.path}:{match.line}: {match.text}" for match in found]
    if not whole:
        lines.append("[there is more: narrow the pattern, glob or path, or raise limit]")
    text = "\n".join(lines) or f"Nothing below {asked.path} matches."
    return Result(text, Matches(items=found, truncated=not whole))


TOOLS: Final[tuple[Tool[Any], ...]] = (
    Tool(
        name="search_files",
        title="Search in files",
        description=(
            "Find lines that match a regular expression in all text files below a directory, "
            "with path and line number, sorted by path. Use it to find where something is "
            f"defined or used. At most {MATCHES_MAX} matches and {TIMEOUT_S} s; .git is left "
            "out, and what .gitignore names where ripgrep is there."
        ),
        permission=Permission.WORKSPACE_EXEC,
        arguments=SearchArguments,
        answer=Matches,
        run=search,
        reads_only=True,
    ),
)
