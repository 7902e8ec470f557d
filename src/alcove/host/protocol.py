"""The language between the server and the privileged process: frames of JSON, typed verbs.

A frame is four bytes of length, big-endian, and that much JSON; one request, one answer, in
sequence. One rule: a request holds workspace ids and values of the model, never a path, a command
or a descriptor; and it is valid only if writing it again gives the same JSON, so that unknown
fields and sloppy types are refused everywhere.
"""

import json
import re
import socket
import struct
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, TypeAdapter, ValidationError

from alcove.drivers.base import Capabilities, ImageStatus, Leftover, Removal, Taken, Usage
from alcove.model.errors import AlcoveError, DriverError, Invalid, Unsupported
from alcove.model.image import Image
from alcove.model.workspace import Observation, SnapshotId, Spec, WorkspaceId

VERSION: Final = 1
FRAME_MAX: Final = 1 << 20
HIDDEN_SOCKET: Final = ".paused"
"""What a paused workspace's socket ends in instead of `.sock`: nobody is there to answer."""
_LENGTH: Final = struct.Struct("!I")
_ID: Final = re.compile(r"ws-[a-z2-7]{16}")
SNAPSHOT_ID: Final = re.compile(r"sn-[a-z2-7]{16}")
_IDS_MAX: Final = 5000


class Malformed(Exception):
    """What came is not of this protocol; the connection is of no more use."""


def _checked_id(value: str) -> WorkspaceId:
    if not _ID.fullmatch(value):
        raise ValueError("is not a workspace id")
    return WorkspaceId(value)


def _checked_snapshot(value: str) -> SnapshotId:
    if not SNAPSHOT_ID.fullmatch(value):
        raise ValueError("is not a snapshot id")
    return SnapshotId(value)


Id: TypeAlias = Annotated[WorkspaceId, Field(max_length=19), AfterValidator(_checked_id)]
Snapshot: TypeAlias = Annotated[
    SnapshotId, Field(max_length=19), AfterValidator(_checked_snapshot)
]
Key: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Sha256: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True, slots=True)
class Hello:
    verb: Literal["hello"] = "hello"


@dataclass(frozen=True, slots=True)
class GetCapabilities:
    verb: Literal["capabilities"] = "capabilities"


@dataclass(frozen=True, slots=True)
class Observe:
    workspace: Id
    verb: Literal["observe"] = "observe"


@dataclass(frozen=True, slots=True)
class Create:
    workspace: Id
    spec: Spec
    control_sha256: Sha256
    verb: Literal["create"] = "create"


@dataclass(frozen=True, slots=True)
class Start:
    workspace: Id
    spec: Spec
    control_sha256: Sha256
    verb: Literal["start"] = "start"


@dataclass(frozen=True, slots=True)
class Approve:
    """The posture seen from inside is as expected; the host process adds its own look."""

    workspace: Id
    boot: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    verb: Literal["approve"] = "approve"


@dataclass(frozen=True, slots=True)
class Stop:
    workspace: Id
    grace_s: Annotated[float, Field(ge=0, le=600, allow_inf_nan=False)]
    verb: Literal["stop"] = "stop"


@dataclass(frozen=True, slots=True)
class Destroy:
    workspace: Id
    verb: Literal["destroy"] = "destroy"


@dataclass(frozen=True, slots=True)
class Adopt:
    workspace: Id
    spec: Spec
    verb: Literal["adopt"] = "adopt"


@dataclass(frozen=True, slots=True)
class Pause:
    workspace: Id
    verb: Literal["pause"] = "pause"


@dataclass(frozen=True, slots=True)
class Resume:
    workspace: Id
    verb: Literal["resume"] = "resume"


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    workspace: Id
    snapshot: Snapshot
    verb: Literal["take_snapshot"] = "take_snapshot"


@dataclass(frozen=True, slots=True)
class GetSnapshots:
    verb: Literal["snapshots"] = "snapshots"


@dataclass(frozen=True, slots=True)
class DropSnapshot:
    snapshot: Snapshot
    verb: Literal["drop_snapshot"] = "drop_snapshot"


@dataclass(frozen=True, slots=True)
class GetUsage:
    workspaces: Annotated[tuple[Id, ...], Field(max_length=_IDS_MAX)]
    verb: Literal["usage"] = "usage"


@dataclass(frozen=True, slots=True)
class GetInventory:
    verb: Literal["inventory"] = "inventory"


@dataclass(frozen=True, slots=True)
class Pin:
    reference: Annotated[str, Field(max_length=1024)]
    verb: Literal["pin"] = "pin"


@dataclass(frozen=True, slots=True)
class PrepareImage:
    image: Image
    verb: Literal["prepare_image"] = "prepare_image"


@dataclass(frozen=True, slots=True)
class GetImages:
    verb: Literal["images"] = "images"


@dataclass(frozen=True, slots=True)
class CollectImages:
    keep: Annotated[tuple[Key, ...], Field(max_length=_IDS_MAX)]
    verb: Literal["collect_images"] = "collect_images"


@dataclass(frozen=True, slots=True)
class ImageLog:
    key: Key
    verb: Literal["image_log"] = "image_log"


Request: TypeAlias = (
    Hello
    | GetCapabilities
    | Observe
    | Create
    | Start
    | Approve
    | Stop
    | Destroy
    | Adopt
    | Pause
    | Resume
    | TakeSnapshot
    | GetSnapshots
    | DropSnapshot
    | GetUsage
    | GetInventory
    | Pin
    | PrepareImage
    | GetImages
    | CollectImages
    | ImageLog
)


@dataclass(frozen=True, slots=True)
class Welcome:
    """`instance` tells a client that it reached the installation that it belongs to."""

    version: int
    instance: str


@dataclass(frozen=True, slots=True)
class Look:
    """An observation, and whether the running boot was approved."""

    observation: Observation
    approved: bool


@dataclass(frozen=True, slots=True)
class Started:
    """`boot` is None while the image is being made ready; the next `create` goes on then.
    `approved` tells that the posture of this boot was checked before."""

    boot: str | None
    approved: bool


WELCOME: Final = TypeAdapter[Welcome](Welcome)
CAPABILITIES: Final = TypeAdapter[Capabilities](Capabilities)
LOOK: Final = TypeAdapter[Look](Look)
STARTED: Final = TypeAdapter[Started](Started)
NOTHING: Final = TypeAdapter[None](None)
REMOVAL: Final = TypeAdapter[Removal](Removal)
TAKEN: Final = TypeAdapter[Taken](Taken)
TAKENS: Final = TypeAdapter[tuple[Taken, ...]](tuple[Taken, ...])
USAGES: Final = TypeAdapter[dict[WorkspaceId, Usage]](dict[WorkspaceId, Usage])
LEFTOVERS: Final = TypeAdapter[tuple[Leftover, ...]](tuple[Leftover, ...])
PINNED: Final = TypeAdapter[tuple[str, str]](tuple[str, str])
IMAGE_STATUS: Final = TypeAdapter[ImageStatus](ImageStatus)
IMAGE_STATUSES: Final = TypeAdapter[tuple[ImageStatus, ...]](tuple[ImageStatus, ...])
KEYS: Final = TypeAdapter[tuple[str, ...]](tuple[str, ...])
TEXT: Final = TypeAdapter[str](str)

_REQUEST: Final[TypeAdapter[Any]] = TypeAdapter(
    Annotated[Request, Discriminator("verb")], config=ConfigDict(strict=True)
)
_REFUSALS: Final = {"Unsupported": Unsupported, "Invalid": Invalid}


def write_request(request: Request) -> bytes:
    return frame(_REQUEST.dump_json(request))


def read_request(body: bytes) -> Request:
    """Raises Invalid, naming what is wrong in a sentence."""
    try:
        plain = json.loads(body)
        request = _REQUEST.validate_json(body, strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Invalid(f"request: {where}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise Invalid(f"request: not JSON: {error}") from error
    if json.loads(_REQUEST.dump_json(request)) != plain:
        raise Invalid("request: it holds fields that the verb does not have")
    return request


def write_answer(value: Any, adapter: TypeAdapter[Any]) -> bytes:
    return frame(b'{"value":' + adapter.dump_json(value) + b"}")


def write_error(error: AlcoveError) -> bytes:
    retry = error.retry if isinstance(error, DriverError) else False
    name = type(error).__name__ if type(error).__name__ in _REFUSALS else DriverError.__name__
    said = {"kind": name, "message": str(error)[:4000], "retry": retry}
    return frame(json.dumps({"error": said}).encode())


def read_answer(body: bytes, adapter: TypeAdapter[Any]) -> Any:
    """The value; raises the error that the other side raised, or Malformed."""
    try:
        plain: dict[str, Any] = json.loads(body)
        if "value" in plain:
            return adapter.validate_json(json.dumps(plain["value"]))
        error: dict[str, Any] = plain["error"]
        kind, message, retry = str(error["kind"]), str(error["message"]), bool(error["retry"])
    except (ValueError, KeyError, TypeError) as wrong:
        raise Malformed(f"an answer that makes no sense: {wrong}") from wrong
    if kind in _REFUSALS:
        raise _REFUSALS[kind](message)
    raise DriverError(message, retry=retry)


def frame(body: bytes) -> bytes:
    if len(body) > FRAME_MAX:
        raise DriverError(
            f"a frame of {len(body)} bytes is over the limit of {FRAME_MAX}", retry=False
        )
    return _LENGTH.pack(len(body)) + body


def frame_length(header: bytes) -> int:
    """Raises Malformed for a length over the limit."""
    length: int = _LENGTH.unpack(header)[0]
    if length > FRAME_MAX:
        raise Malformed(f"a frame of {length} bytes is over the limit of {FRAME_MAX}")
    return length


HEADER_BYTES: Final = _LENGTH.size


def receive(connection: socket.socket) -> bytes | None:
    """The next frame's body; None at the end of the stream between two frames. Raises
    Malformed when it ends inside one, and OSError."""
    header = _receive_exactly(connection, HEADER_BYTES)
    if header is None:
        return None
    body = _receive_exactly(connection, frame_length(header))
    if body is None:
        raise Malformed("the connection ended inside a frame")
    return body


def _receive_exactly(connection: socket.socket, count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(min(65536, count - len(parts)))
        if not part:
            if parts:
                raise Malformed("the connection ended inside a frame")
            return None if count else b""
        parts += part
    return bytes(parts)
