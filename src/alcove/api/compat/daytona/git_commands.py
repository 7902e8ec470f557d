"""`git` itself, run in the sandbox.

Credentials are in the environment of that one process, where a helper given on its command line
reads them: they are in no argument and on no disk.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from alcove.api.compat.daytona import git_answers
from alcove.core import execs
from alcove.core.agent import Call
from alcove.core.app import Core
from alcove.model.access import Actor

TIMEOUT_S: Final = 1800.0
_HELPER: Final = (
    '!f() { test "$1" = get && '
    'printf "username=%s\\npassword=%s\\n" "$ALCOVE_GIT_USERNAME" "$ALCOVE_GIT_PASSWORD"; }; f'
)
_QUIET: Final = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8", "GIT_PAGER": "cat"}


@dataclass(frozen=True, slots=True)
class Credentials:
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def environment(self) -> Mapping[str, str]:
        if not (self.username or self.password):
            return {}
        # Both in the environment: the empty one takes away the helpers of the user's own.
        return {
            "ALCOVE_GIT_USERNAME": self.username or "git",
            "ALCOVE_GIT_PASSWORD": self.password or "",
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "credential.helper",
            "GIT_CONFIG_VALUE_0": "",
            "GIT_CONFIG_KEY_1": "credential.helper",
            "GIT_CONFIG_VALUE_1": _HELPER,
        }


async def git(
    core: Core,
    actor: Actor,
    ref: str,
    words: list[str],
    *,
    at: str | None = None,
    env: Mapping[str, str] | None = None,
    credentials: Credentials | None = None,
) -> bytes:
    """What it wrote; `at` is where it works. Raises Refused with what it said when it failed."""
    found = await run(core, actor, ref, words, at=at, env=env, credentials=credentials)
    must_be_good(found)
    return found.stdout


async def run(
    core: Core,
    actor: Actor,
    ref: str,
    words: list[str],
    *,
    at: str | None = None,
    env: Mapping[str, str] | None = None,
    credentials: Credentials | None = None,
) -> execs.ExecResult:
    """Like `git`, whatever its end."""
    given = {**_QUIET, **(env or {})}
    if credentials is not None:
        given |= credentials.environment()
    where = ["-C", at] if at else []
    call = Call(command=("git", *where, *words), env=given, timeout_s=TIMEOUT_S)
    return await execs.run(core, actor, ref, call)


def must_be_good(found: execs.ExecResult) -> None:
    """Raises Refused, in the clients' words, for what `git` said when it failed."""
    if found.exit_code:
        said = (found.stderr + found.stdout).decode(errors="replace")
        raise git_answers.fault(found.error or said, found.exit_code)
