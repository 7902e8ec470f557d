#!/usr/bin/env python3
"""Make the blocking client from the asynchronous one: `alcove/sdk/_async` → `alcove/sdk/_sync`.

Works on tokens, so that comments and layout survive, and knows no more than the words below.
What really differs stands in `primitives.py`, which is written by hand on both sides.
`--check` says whether the checked-in result is what this would write, and writes nothing.
"""

import io
import subprocess
import sys
import tokenize
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).resolve().parent.parent / "src/alcove/sdk/_async"
TARGET: Final = SOURCE.with_name("_sync")
BY_HAND: Final = frozenset({"__init__.py", "primitives.py"})
HEADER: Final = "# Made by tools/async_to_sync.py from _async/{name}: change that one.\n"
DROPPED: Final = frozenset({"async", "await"})
WORDS: Final = {
    "AbstractAsyncContextManager": "AbstractContextManager",
    "AsyncExitStack": "ExitStack",
    "AsyncGenerator": "Generator",
    "AsyncIterator": "Iterator",
    "StopAsyncIteration": "StopIteration",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "_async": "_sync",
    "aclose": "close",
    "aiter_bytes": "iter_bytes",
    "aiter_raw": "iter_raw",
    "aread": "read",
    "asynccontextmanager": "contextmanager",
    "asyncio": "sync",
    "enter_async_context": "enter_context",
}


def main() -> int:
    """Write, or with `--check` compare. Returns the exit code."""
    made = {path.name: convert(path) for path in sorted(SOURCE.glob("*.py"))}
    made = {name: text for name, text in made.items() if name not in BY_HAND}
    stale = [name for name, text in made.items() if _current(name) != text]
    extra = {path.name for path in TARGET.glob("*.py")} - set(made) - BY_HAND
    if sys.argv[1:] == ["--check"]:
        for name in [*stale, *sorted(extra)]:
            sys.stderr.write(f"{TARGET / name} is not what {SOURCE / name} makes\n")
        if stale or extra:
            sys.stderr.write("run tools/async_to_sync.py and commit what it writes\n")
        return 1 if stale or extra else 0
    for name in stale:
        (TARGET / name).write_text(made[name])
    for name in extra:
        (TARGET / name).unlink()
    return 0


def convert(path: Path) -> str:
    """The blocking form of one file, in the project's layout."""
    return _formatted(HEADER.format(name=path.name) + _translated(path.read_text()))


def _translated(source: str) -> str:
    """The source with its words replaced; what stands between tokens is kept as it is."""
    lines = source.splitlines(keepends=True)
    pieces: list[str] = []
    row, column = 1, 0
    dropped = False
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        between = _between(lines, (row, column), token.start)
        # Of `await x` the space goes with the word.
        pieces.append(between.lstrip(" ") if dropped else between)
        dropped = token.type == tokenize.NAME and token.string in DROPPED
        if not dropped:
            pieces.append(_word(token))
        row, column = token.end
    return "".join(pieces)


def _word(token: tokenize.TokenInfo) -> str:
    if token.type == tokenize.NAME:
        return _renamed(token.string)
    if token.type == tokenize.STRING and token.string.startswith('"'):
        # Forward references, and names in docstrings.
        return _renamed_inside(token.string)
    return token.string


def _renamed(word: str) -> str:
    if word in WORDS:
        return WORDS[word]
    for prefix in ("_Async", "Async"):
        if word.startswith(prefix):
            return prefix.removesuffix("Async") + word.removeprefix(prefix)
    return word


def _renamed_inside(text: str) -> str:
    words: list[str] = []
    word = ""
    for character in [*text, ""]:
        if character.isidentifier() or (character.isdigit() and word):
            word += character
            continue
        words += [_renamed(word), character]
        word = ""
    return "".join(words)


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    if start[0] == end[0]:
        return lines[start[0] - 1][start[1] : end[1]] if start[0] <= len(lines) else ""
    first = lines[start[0] - 1][start[1] :] if start[0] <= len(lines) else ""
    middle = "".join(lines[start[0] : end[0] - 1])
    last = lines[end[0] - 1][: end[1]] if end[0] <= len(lines) else ""
    return first + middle + last


def _formatted(text: str) -> str:
    name = str(TARGET / "made.py")
    # Without `await`, some loops and comprehensions are more than is needed (UP028, C416).
    tidy = ["check", "--quiet", "--fix", "--unsafe-fixes", "--exit-zero"]
    for command in ([*tidy, "--select", "C416,I,PLC0415,RUF100,UP028"], ["format"]):
        text = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--stdin-filename", name, "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    return text


def _current(name: str) -> str | None:
    path = TARGET / name
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    raise SystemExit(main())
