"""The agent of a fake workspace: it answers the control plane from memory, at once.

It knows what the API's tests and demos need: being claimed, `echo`-like commands, files, logs.
What a real agent does is tested against the real one.
"""

import base64
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import anyio
import anyio.lowlevel
import h11

_STDOUT: Final = 1
_EXIT: Final = 3
_STARTED: Final = 4


@dataclass(frozen=True, slots=True)
class FakeRequest:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body or b"{}")


@dataclass(frozen=True, slots=True)
class FakeAnswer:
    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"


@dataclass
class FakeAgent:
    """Shared by all connections to it. A test may change any field."""

    control_key: str | None
    """None: any will do."""
    claims: list[Any] = field(default_factory=list[Any])
    """The bodies of `POST /init`, oldest first."""
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    startup: dict[str, Any] = field(
        default_factory=lambda: {"revision": 1, "id": "", "state": "done", "steps": []}
    )
    stats: dict[str, Any] = field(default_factory=lambda: {"processes": 1, "execs_running": 0})
    log: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    refuse: int | None = None
    """While set, every request is answered with this status."""
    requests: list[FakeRequest] = field(default_factory=list[FakeRequest])
    streams: list["FakeStream"] = field(default_factory=list["FakeStream"])

    def connect(self) -> "FakeStream":
        stream = FakeStream(self.answer)
        self.streams.append(stream)
        return stream

    def cut(self) -> None:
        """Close all connections, as the end of the agent does."""
        for stream in self.streams:
            stream.cut()
        self.streams.clear()

    def answer(self, request: FakeRequest) -> FakeAnswer:
        self.requests.append(request)
        if self.refuse is not None:
            return FakeAnswer(self.refuse, b'{"code":"internal","message":"scripted"}')
        if request.path == "/health":
            return FakeAnswer(204)
        if self.control_key not in (None, request.headers.get("x-alcove-control")):
            return FakeAnswer(401, b'{"code":"unauthenticated","message":"wrong key"}')
        match request.method, request.path:
            case "POST", "/init":
                self.claims.append(request.json)
                if (startup := request.json.get("startup")) is not None:
                    self.startup["id"] = startup["id"]
                return FakeAnswer(204)
            case "GET", "/alcove/startup":
                return FakeAnswer(200, json.dumps(self.startup).encode())
            case "GET", "/alcove/stats":
                return FakeAnswer(200, json.dumps(self.stats).encode())
            case "GET", "/alcove/logs":
                lines = [json.dumps(line).encode() + b"\n" for line in self.log]
                return FakeAnswer(200, b"".join(lines), "application/x-ndjson")
            case "POST", "/alcove/exec":
                return FakeAnswer(200, _run(request.json), "application/x-alcove-frames")
            case "GET", "/files":
                return self._read(request.query.get("path", ""))
            case "POST", "/files":
                self.files[request.query.get("path", "")] = request.body
                return FakeAnswer(200, b"[]")
            case _:
                return FakeAnswer(404, b'{"code":"not_found","message":"no such route"}')

    def _read(self, path: str) -> FakeAnswer:
        if path not in self.files:
            return FakeAnswer(404, b'{"code":"not_found","message":"no such file"}')
        return FakeAnswer(200, self.files[path], "application/octet-stream")


class FakeStream:
    """A `ByteStream` whose other end answers as soon as it has a whole request."""

    def __init__(self, answer: Callable[[FakeRequest], FakeAnswer]) -> None:
        self._answer = answer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        self._head: h11.Request | None = None
        self._body: list[bytes] = []
        self._out = bytearray()
        self._ready = anyio.Event()
        self._ended = False
        self._closed = False

    async def send(self, item: bytes, /) -> None:
        await anyio.lowlevel.checkpoint()
        if self._closed or self._ended:
            raise anyio.BrokenResourceError
        self._http.receive_data(bytes(item))
        self._serve()

    async def receive(self, max_bytes: int = 65536, /) -> bytes:
        await anyio.lowlevel.checkpoint()
        while not self._out:
            if self._closed or self._ended:
                raise anyio.EndOfStream
            self._ready = anyio.Event()
            await self._ready.wait()
        piece = bytes(self._out[:max_bytes])
        del self._out[:max_bytes]
        return piece

    async def send_eof(self) -> None:
        await anyio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        self.cut()

    def cut(self) -> None:
        self._ended = True
        self._ready.set()

    def _serve(self) -> None:
        while True:
            match self._http.next_event():
                case h11.Request() as head:
                    self._head, self._body = head, []
                case h11.Data() as data:
                    self._body.append(bytes(data.data))
                case h11.EndOfMessage():
                    self._respond()
                    self._http.start_next_cycle()
                case _:
                    break
        self._ready.set()

    def _respond(self) -> None:
        assert self._head is not None
        url = urlsplit(self._head.target.decode())
        answer = self._answer(
            FakeRequest(
                method=self._head.method.decode(),
                path=url.path,
                query={name: values[-1] for name, values in parse_qs(url.query).items()},
                headers={name.decode(): value.decode() for name, value in self._head.headers},
                body=b"".join(self._body),
            )
        )
        headers = [("content-type", answer.content_type)]
        if answer.status != 204:
            headers.append(("content-length", str(len(answer.body))))
        parts: list[h11.Event] = [h11.Response(status_code=answer.status, headers=headers)]
        if answer.body:
            parts.append(h11.Data(data=answer.body))
        parts.append(h11.EndOfMessage())
        for part in parts:
            self._out += self._http.send(part) or b""


def _run(request: Mapping[str, Any]) -> bytes:
    """`echo` prints its arguments, `cat` its input, `false` and `exit N` fail, all else works."""
    command, arguments = str(request["cmd"]), [str(a) for a in request.get("args") or ()]
    if "alcove-output" in arguments:
        # `core/background.py` asks for a process: none was ever started here.
        command, arguments = "exit", ["44"]
    elif arguments[:1] in (["-lc"], ["-c"]):
        command, *arguments = arguments[1].split()
    output, code = b"", 0
    match command.rsplit("/", 1)[-1]:
        case "echo":
            output = " ".join(arguments).encode() + b"\n"
        case "cat" if isinstance(request.get("stdin"), str):
            output = base64.b64decode(request["stdin"])
        case "false":
            code = 1
        case "exit":
            code = int(arguments[0])
        case _:
            pass
    ended = {"exit_code": code, "signal": None, "duration_ms": 0.1}
    frames = [_frame(_STARTED, b'{"pid":2}')]
    if output:
        frames.append(_frame(_STDOUT, output))
    return b"".join([*frames, _frame(_EXIT, json.dumps(ended).encode())])


def _frame(kind: int, payload: bytes) -> bytes:
    return struct.pack(">BI", kind, len(payload)) + payload
