"""What is wrong with a template, and where.

Every check adds to one `Report` and goes on, so that an author sees all problems at once.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

PROBLEMS_MAX: Final = 200
"""More than this helps nobody; the last one then says that there are more."""
QUOTED_MAX: Final = 60


class Severity(StrEnum):
    ERROR = "error"
    """The template cannot be pushed."""
    WARNING = "warning"
    """It can, and something in it is not what its author may think."""


@dataclass(frozen=True, slots=True)
class Problem:
    """`template.yaml:14: cpu: max 16 is over the ceiling 8`"""

    file: str
    line: int
    """1-based; 0 when it is about the whole file."""
    field: str
    """A path (`image.packages[2]`), or the name of the parameter or preset; may be empty."""
    message: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (where, self.field, self.message) if part)


@dataclass(slots=True)
class Report:
    """Problems of one file, as they are found."""

    file: str
    problems: list[Problem] = field(default_factory=list[Problem])

    def error(self, line: int, path: str, message: str) -> None:
        self._add(Problem(self.file, line, path, message))

    def warn(self, line: int, path: str, message: str) -> None:
        self._add(Problem(self.file, line, path, message, Severity.WARNING))

    @property
    def failed(self) -> bool:
        return any(p.severity is Severity.ERROR for p in self.problems)

    def _add(self, problem: Problem) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(problem)
        elif len(self.problems) == PROBLEMS_MAX:
            # An error, whatever was dropped: warnings that crowd an error out must not let it by.
            self.problems.append(
                Problem(self.file, 0, "", f"there are more than {PROBLEMS_MAX} problems")
            )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'cpu'?`, or nothing when no known word is near."""
    near = difflib.get_close_matches(word[:QUOTED_MAX], list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def quoted(value: object) -> str:
    """The value for a message: escaped and short, whatever it is."""
    if isinstance(value, str):
        return repr(value) if len(value) <= QUOTED_MAX else repr(value[:QUOTED_MAX]) + "…"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int):
        # Python refuses to print integers of thousands of digits.
        return str(value) if abs(value) < 10**QUOTED_MAX else "a huge number"
    if isinstance(value, float):
        return f"{value:.15g}"
    return "a list" if isinstance(value, list | tuple) else "an object"


def listed(words: Iterable[object]) -> str:
    """`a, b or c`, at most a dozen of them."""
    known = [str(w) for w in words]
    if len(known) > 12:
        return ", ".join(known[:12]) + ", …"
    return " or ".join(part for part in (", ".join(known[:-1]), *known[-1:]) if part)
