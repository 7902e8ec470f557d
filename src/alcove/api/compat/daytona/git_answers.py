"""What `git` says, read. Pure."""

from typing import Any, Final

from alcove.api.compat.daytona.errors import Refused

_WORDS: Final = {
    ".": "Unmodified",
    "?": "Untracked",
    "M": "Modified",
    "T": "Modified",
    "A": "Added",
    "D": "Deleted",
    "R": "Renamed",
    "C": "Copied",
    "U": "Updated but unmerged",
}
_FAULTS: Final = (
    (
        (
            "authentication failed",
            "could not read username",
            "could not read password",
            "invalid username or",
            "permission denied (publickey",
            "403 forbidden",
            "returned error: 401",
            "returned error: 403",
        ),
        401,
        "GIT_AUTH_FAILED",
    ),
    (("non-fast-forward", "fetch first", "[rejected]", "stale info"), 409, "GIT_PUSH_REJECTED"),
    (("[remote rejected]", "pre-receive hook declined"), 422, "GIT_REMOTE_REJECTED"),
    (
        (
            "would be overwritten by",
            "please commit your changes or stash",
            "cannot pull with rebase: you have unstaged",
        ),
        409,
        "GIT_DIRTY_WORKTREE",
    ),
    (
        (
            "automatic merge failed",
            "merge conflict",
            "unmerged files",
            "not possible to fast-forward",
            "need to specify how to reconcile",
        ),
        409,
        "GIT_MERGE_CONFLICT",
    ),
    (("a branch named",), 409, "GIT_BRANCH_EXISTS"),
    (
        (
            "remote branch",
            "did not match any file(s) known",
            "couldn't find remote ref",
            "not found.\nerror: branch",
            "invalid reference",
            "branch '",
            "src refspec",
        ),
        404,
        "GIT_BRANCH_NOT_FOUND",
    ),
    (
        (
            "not a git repository",
            "repository not found",
            "does not appear to be a git repository",
            "does not exist",
            "cannot change to",
            "no such file or directory",
        ),
        404,
        "GIT_REPO_NOT_FOUND",
    ),
    (
        (
            "could not resolve host",
            "failed to connect",
            "connection refused",
            "unable to access",
            "connection timed out",
            "early eof",
            "could not read from remote",
        ),
        502,
        "GIT_TRANSPORT_FAILED",
    ),
)


def fault(stderr: str, code: int) -> Refused:
    """The first of the clients' words for it that fits what `git` said."""
    said = stderr.strip()[-1500:] or f"git ended with {code}"
    low = said.lower()
    for signs, status, word in _FAULTS:
        if any(sign in low for sign in signs):
            return Refused(status, word, said)
    return Refused(400, "BAD_REQUEST", said)


def status(text: bytes) -> dict[str, Any]:
    """`git status --porcelain=v2 --branch -z`."""
    found: dict[str, Any] = {
        "currentBranch": "",
        "ahead": 0,
        "behind": 0,
        "branchPublished": False,
        "detached": False,
        "upstream": "",
        "fileStatus": [],
    }
    records = iter(text.decode(errors="replace").split("\0"))
    for record in records:
        kind, _, rest = record.partition(" ")
        match kind:
            case "#":
                _header(found, rest)
            case "1":
                xy, *_, name = rest.split(" ", 7)
                found["fileStatus"].append(_file(xy, name))
            case "2":
                xy, *_, name = rest.split(" ", 8)
                found["fileStatus"].append(_file(xy, name, next(records, "")))
            case "u":
                *_, name = rest.split(" ", 9)
                found["fileStatus"].append(_file("UU", name))
            case "?":
                found["fileStatus"].append(_file("??", rest))
            case _:
                pass
    return found


def history(text: bytes) -> list[dict[str, str]]:
    """`git log` with fields that NUL ends: hash, author, address, time, message."""
    words = text.decode(errors="replace").split("\0")[:-1]
    names = ("hash", "author", "email", "timestamp", "message")
    return [
        {name: word.strip("\n") for name, word in zip(names, words[at : at + 5], strict=True)}
        for at in range(0, len(words) - 4, 5)
    ]


def remotes(text: bytes) -> list[dict[str, str]]:
    """`git remote -v`, each once."""
    found: dict[str, str] = {}
    for line in text.decode(errors="replace").splitlines():
        name, _, rest = line.partition("\t")
        url, _, kind = rest.rpartition(" ")
        if kind == "(fetch)":
            found[name] = url
    return [{"name": name, "url": url} for name, url in found.items()]


def _header(found: dict[str, Any], said: str) -> None:
    name, _, value = said.partition(" ")
    match name:
        case "branch.head" if value == "(detached)":
            found["detached"] = True
        case "branch.head":
            found["currentBranch"] = value
        case "branch.upstream":
            found |= {"upstream": value, "branchPublished": True}
        case "branch.ab":
            ahead, _, behind = value.partition(" ")
            found |= {"ahead": int(ahead), "behind": -int(behind)}
        case _:
            pass


def _file(xy: str, name: str, before: str = "") -> dict[str, str]:
    return {
        "name": name,
        "staging": _WORDS.get(xy[0], "Modified"),
        "worktree": _WORDS.get(xy[1], "Modified"),
        "extra": before,
    }
