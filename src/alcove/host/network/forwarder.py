"""The only name server that workspaces reach: a small process without privileges.

It is started by `guard` with its sockets bound, drops root before it reads a byte, and ends with
the process that started it. Everything is bounded: askers, questions under way, answers kept.
The one rule: a workspace that asks too much waits; the others do not notice.
"""

import json
import os
import re
import resource
import secrets
import signal
import socket
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from alcove.host.network import names
from alcove.host.network.addresses import Trusted, trusted
from alcove.host.network.names import Code, Question, Refusal, Reply

THREADS: Final = 256
CONNECTIONS_MAX: Final = 32
CONNECTIONS_PER_ASKER_MAX: Final = 4
QUERIES_PER_CONNECTION_MAX: Final = 100
UNDER_WAY_MAX: Final = 512
UNDER_WAY_PER_ASKER_MAX: Final = 24
RATE_PER_S: Final = 100.0
BURST: Final = 400.0
ASKERS_MAX: Final = 8192
CACHED_MAX: Final = 8192
TRY_S: Final = 1.5
TRIES: Final = 2
RESOLVERS_MAX: Final = 3
IDLE_S: Final = 5.0
MEMORY_MAX: Final = 1 << 30
RESOLV_CONF: Final = Path("/etc/resolv.conf")


@dataclass(frozen=True, slots=True)
class Config:
    """What the process is started with. The sockets are bound and passed on."""

    udp: int
    tcp: int
    user: int
    """Numeric id to run as; nothing on the host belongs to it."""
    resolvers: tuple[str, ...]
    trusted: tuple[str, ...]


def command_line(config: Config) -> list[str]:
    program = "import sys; from alcove.host.network.forwarder import main; main(sys.argv[1])"
    return [sys.executable, "-I", "-c", program, json.dumps(asdict(config))]


class Forwarder:
    """Answers questions. `now` is a monotonic clock in seconds."""

    def __init__(
        self,
        resolvers: Callable[[], Sequence[str]],
        opened: tuple[Trusted, ...],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._resolvers = resolvers
        self._opened = opened
        self._now = now
        self._limits = Limits(now)
        self._lock = threading.Lock()
        self._cache: OrderedDict[tuple[str, str, int], tuple[float, Reply]] = OrderedDict()

    def serve(self, udp: socket.socket, tcp: socket.socket) -> None:
        """Serve until the process ends."""
        threading.Thread(target=self._accept, args=(tcp,), daemon=True).start()
        with ThreadPoolExecutor(THREADS) as pool:
            while True:
                data, asker = udp.recvfrom(names.QUERY_BYTES_MAX + 1)
                question = names.read_query(data)
                if isinstance(question, Refusal):
                    self._send(udp, question.answer, asker)
                elif question and self._limits.enter(asker[0]):
                    pool.submit(self._answer_udp, udp, question, asker)

    def resolve(self, question: Question, asker: str) -> Reply:
        """Ask the host's resolvers, or remember. What one workspace asked is not remembered for
        another: it could tell from the time what its neighbour looks up."""
        key = (asker, question.name, int(question.type))
        with self._lock:
            found = self._cache.get(key)
            if found and found[0] > self._now():
                return found[1]
        reply = self._ask_all(question)
        with self._lock:
            self._cache[key] = (self._now() + reply.ttl_s, reply)
            self._cache.move_to_end(key)
            while len(self._cache) > CACHED_MAX:
                self._cache.popitem(last=False)
        return reply

    def _ask_all(self, question: Question) -> Reply:
        for _ in range(TRIES):
            for resolver in list(self._resolvers())[:RESOLVERS_MAX]:
                try:
                    return self._ask(question, resolver)
                except (OSError, ValueError):
                    continue
        return Reply(Code.SERVFAIL, (), 1)

    def _ask(self, question: Question, resolver: str) -> Reply:
        """A socket and an id for each question: an answer is hard to forge (RFC 5452)."""
        id = secrets.randbelow(1 << 16)
        query = names.write_query(question, id=id)
        family = socket.AF_INET6 if ":" in resolver else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as upstream:
            upstream.settimeout(TRY_S)
            upstream.connect((resolver, 53))
            upstream.send(query)
            data = upstream.recv(names.ANSWER_BYTES_MAX)
        if names.is_truncated(data):
            with socket.create_connection((resolver, 53), timeout=TRY_S) as stream:
                stream.sendall(len(query).to_bytes(2, "big") + query)
                data = _read_framed(stream)
        return names.read_answer(data, question, id=id, opened=self._opened)

    def _answer_udp(self, udp: socket.socket, question: Question, asker: tuple[str, int]) -> None:
        try:
            reply = self.resolve(question, asker[0])
            data = names.write_answer(question, reply, bytes_max=question.udp_bytes)
            self._send(udp, data, asker)
        except Exception as error:
            # A bulkhead: one question must not end the forwarder, nor vanish without a word.
            print(f"names: {question.name}: {error!r}"[:500], file=sys.stderr)  # noqa: T201
        finally:
            self._limits.leave(asker[0])

    def _send(self, udp: socket.socket, data: bytes, asker: tuple[str, int]) -> None:
        with suppress(OSError):
            udp.sendto(data, socket.MSG_DONTWAIT, asker)

    def _accept(self, tcp: socket.socket) -> None:
        """Connections beyond the limits are closed at once."""
        connections = Connections()
        with ThreadPoolExecutor(CONNECTIONS_MAX) as pool:
            while True:
                try:
                    stream, asker = tcp.accept()
                except OSError:
                    time.sleep(0.1)
                    continue
                if connections.enter(asker[0]):
                    pool.submit(self._converse, stream, asker[0], connections)
                else:
                    stream.close()

    def _converse(self, stream: socket.socket, asker: str, connections: "Connections") -> None:
        try:
            with stream:
                stream.settimeout(IDLE_S)
                for _ in range(QUERIES_PER_CONNECTION_MAX):
                    if not self._answer_tcp(stream, asker):
                        return
        except (OSError, ValueError):
            return
        finally:
            connections.leave(asker)

    def _answer_tcp(self, stream: socket.socket, asker: str) -> bool:
        question = names.read_query(_read_framed(stream))
        if question is None:
            return False
        if isinstance(question, Refusal):
            data = question.answer
        elif not self._limits.enter(asker):
            return False
        else:
            try:
                reply = self.resolve(question, asker)
                data = names.write_answer(question, reply, bytes_max=65535)
            finally:
                self._limits.leave(asker)
        stream.sendall(len(data).to_bytes(2, "big") + data)
        return True


class Limits:
    """Questions per second and under way, in all and of each asker."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._askers: OrderedDict[str, tuple[float, float, int]] = OrderedDict()
        self._under_way = 0

    def enter(self, asker: str) -> bool:
        """Whether the question may be asked; then `leave` must be called after it."""
        with self._lock:
            now = self._now()
            level, since, busy = self._askers.get(asker, (BURST, now, 0))
            level = min(BURST, level + (now - since) * RATE_PER_S)
            allowed = (
                level >= 1 and busy < UNDER_WAY_PER_ASKER_MAX and self._under_way < UNDER_WAY_MAX
            )
            if allowed:
                level, busy = level - 1, busy + 1
                self._under_way += 1
            self._askers[asker] = (level, now, busy)
            self._askers.move_to_end(asker)
            while len(self._askers) > ASKERS_MAX:
                self._askers.popitem(last=False)
            return allowed

    def leave(self, asker: str) -> None:
        with self._lock:
            self._under_way -= 1
            if asker in self._askers:
                level, since, busy = self._askers[asker]
                self._askers[asker] = (level, since, max(0, busy - 1))


class Connections:
    """TCP connections, in all and of each asker."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, int] = {}

    def enter(self, asker: str) -> bool:
        with self._lock:
            mine = self._open.get(asker, 0)
            full = sum(self._open.values()) >= CONNECTIONS_MAX
            if full or mine >= CONNECTIONS_PER_ASKER_MAX:
                return False
            self._open[asker] = mine + 1
            return True

    def leave(self, asker: str) -> None:
        with self._lock:
            self._open[asker] -= 1
            if not self._open[asker]:
                del self._open[asker]


def resolvers_in(text: str) -> list[str]:
    """Name servers of a resolv.conf(5)."""
    found: list[str] = []
    for line in text.splitlines():
        if match := re.match(r"\s*nameserver\s+(\S+)", line):
            address = match[1].partition("%")[0]
            with suppress(ValueError):
                found.append(str(ip_address(address)))
    return found


class HostResolvers:
    """The host's resolv.conf, read again when it changes."""

    def __init__(self, path: Path = RESOLV_CONF) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._found: list[str] = []

    def __call__(self) -> list[str]:
        with suppress(OSError):
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_ino)
            if seen != self._seen:
                self._found = resolvers_in(self._path.read_text(errors="replace"))
                self._seen = seen
        return self._found


def main(config: str) -> None:
    """Drop root, then serve."""
    parent = os.getppid()
    values = json.loads(config)
    names.warm_up()
    user = int(values["user"])
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    _die_with(parent)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    told: list[str] = values["resolvers"]
    opened = tuple(trusted(text) for text in values["trusted"])
    forwarder = Forwarder((lambda: told) if told else HostResolvers(), opened)
    threading.stack_size(256 * 1024)
    udp = socket.socket(fileno=values["udp"])
    tcp = socket.socket(fileno=values["tcp"])
    forwarder.serve(udp, tcp)


def _die_with(parent: int) -> None:
    """End with the process that started us, also if it ended before we could ask for it."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def _read_framed(stream: socket.socket) -> bytes:
    """A message of DNS over TCP (RFC 1035, 4.2.2). Raises ValueError at the end of the stream."""
    length = int.from_bytes(_read_exactly(stream, 2), "big")
    return _read_exactly(stream, length)


def _read_exactly(stream: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = stream.recv(count - len(data))
        if not chunk:
            raise ValueError("the stream ended")
        data += chunk
    return data
