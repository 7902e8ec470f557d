"""Ids, and names for workspaces whose owner gave none."""

import secrets
from collections.abc import Callable
from typing import Final

from alcove.model.exec_output import ExecOutputId
from alcove.model.recording import RecordingId
from alcove.model.workspace import SnapshotId, WorkspaceId

_BASE32: Final = "abcdefghijklmnopqrstuvwxyz234567"
_ADJECTIVES_TEXT: Final = (
    "amber brave brisk calm clear clever coral crisp deft eager early fair fleet fond gentle glad "
    "golden grand green happy hardy honest jolly keen kind light lively lucky mellow merry mild "
    "neat nimble noble patient plain polite prime proud quick quiet rapid ready rosy royal sage "
    "sharp silent silver simple sleek smart smooth snowy solid spare steady still stout sunny "
    "swift tidy vivid warm wise witty"
)
_NOUNS_TEXT: Final = (
    "acorn anchor badger bay beacon beaver birch bison bridge brook canyon cedar cliff cloud "
    "comet coral cove crane creek dawn delta dune eagle ember falcon fern finch fjord forest fox "
    "garden glade grove harbor hawk heron hill island jay lagoon lake lantern larch lark lily "
    "lynx maple marsh meadow mesa moon otter owl pebble pine pond prairie quail rapids reef "
    "ridge river robin sail shore sparrow spring spruce stone summit swan thicket tide valley "
    "willow wren"
)

_ADJECTIVES: Final = _ADJECTIVES_TEXT.split()
_NOUNS: Final = _NOUNS_TEXT.split()

Pick = Callable[[int], int]
"""Answers a number from 0 up to, but not including, its argument."""


def new_workspace_id(pick: Pick = secrets.randbelow) -> WorkspaceId:
    return WorkspaceId("ws-" + _text(16, pick))


def new_snapshot_id(pick: Pick = secrets.randbelow) -> SnapshotId:
    return SnapshotId("sn-" + _text(16, pick))


def new_recording_id(pick: Pick = secrets.randbelow) -> RecordingId:
    return RecordingId("rec-" + _text(16, pick))


def new_exec_output_id() -> ExecOutputId:
    """Made for each command: one draw, not one for each character."""
    return ExecOutputId("out-" + secrets.token_hex(10))


def made_up_name(pick: Pick = secrets.randbelow) -> str:
    """Such as `brave-otter-k3xq`."""
    adjective, noun = _ADJECTIVES[pick(len(_ADJECTIVES))], _NOUNS[pick(len(_NOUNS))]
    return f"{adjective}-{noun}-{_text(4, pick)}"


def _text(length: int, pick: Pick) -> str:
    return "".join(_BASE32[pick(len(_BASE32))] for _ in range(length))
