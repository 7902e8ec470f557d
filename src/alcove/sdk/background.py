"""How a process in the background ended. Values only."""

import base64
from dataclasses import dataclass

from alcove.sdk.errors import CommandFailed
from alcove.sdk.execs import ExecResult
from alcove.wire.processes import ProcessLook


@dataclass(frozen=True, slots=True)
class Background:
    """`output` is the end of what it wrote, both streams in order."""

    exit_code: int | None
    """None when it was killed, or went with the workspace."""
    output: str

    @property
    def ok(self) -> bool:
        return self.exit_code == 0


def bytes_of(seen: ProcessLook) -> bytes:
    if seen.encoding == "base64":
        return base64.b64decode(seen.output)
    return seen.output.encode()


def raise_if_failed(done: Background) -> Background:
    """Itself. Raises CommandFailed with the end of its output, unless the code is 0."""
    if done.ok:
        return done
    code = 137 if done.exit_code is None else done.exit_code
    how = "was killed" if done.exit_code is None else f"exited with {code}"
    tail = done.output.strip()[-500:]
    result = ExecResult(code, None, done.output.encode(), b"", False, 0.0)
    raise CommandFailed(f"the process {how}" + (f": {tail}" if tail else ""), result)
