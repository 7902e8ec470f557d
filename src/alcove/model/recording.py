"""What was on a terminal's screen, kept outside the workspace. Pure values."""

from enum import StrEnum


class SessionKind(StrEnum):
    """By which way somebody came in."""

    EXEC = "exec"
    SSH = "ssh"
    TERMINAL = "terminal"


class RecordingPolicy(StrEnum):
    """What the operator wants of terminals."""

    OFF = "off"
    TRY = "try"
    """Recorded; where that fails (a full disk) the session goes on, and it is told."""
    REQUIRE = "require"
    """Nobody gets a terminal that is not recorded, and one whose recording fails is ended."""
