"""What the name forwarder passes on, and which answers it hands out. Pure, but for parsing.

A query is read, judged and written anew, so that only a name and a type leave the host; an answer
likewise. An answer that points to an address that is not open is refused, so that a public name
cannot be made to mean a private service (DNS rebinding).
"""

# dnslib has no types; what goes in and out of this module is typed by its own classes.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Final, cast

from dnslib import AAAA, EDNS0, QTYPE, RCODE, RR, A, DNSHeader, DNSQuestion, DNSRecord
from dnslib.dns import DNSError

from alcove.host.network.addresses import Trusted, reachable

QUERY_BYTES_MAX: Final = 512
ANSWER_BYTES_MAX: Final = 4096
UDP_BYTES: Final = 1232
"""What fits one packet everywhere (DNS flag day 2020)."""
UDP_BYTES_PLAIN: Final = 512
NAME_BYTES_MAX: Final = 253
LABELS_MAX: Final = 24
RECORDS_MAX: Final = 64
TTL_MAX_S: Final = 60
NEGATIVE_TTL_S: Final = 5
_IN: Final = 1


class Type(IntEnum):
    """Record types that are passed on."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    MX = 15
    TXT = 16
    AAAA = 28
    SRV = 33
    HTTPS = 65
    CAA = 257


class Code(IntEnum):
    """Response codes (RFC 1035, 4.1.1)."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5


@dataclass(frozen=True, slots=True)
class Question:
    """A query that may be passed on. `name` is in lower case, without the last dot."""

    id: int
    name: str
    type: Type
    udp_bytes: int
    """What the asker takes in one packet."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to send instead."""

    answer: bytes


def read_query(data: bytes) -> Question | Refusal | None:
    """Judge what a workspace sent. None: not worth an answer (an answer to an answer)."""
    if len(data) < 12 or data[2] & 0x80:
        return None
    if len(data) > QUERY_BYTES_MAX:
        return _refuse(data, Code.FORMERR)
    try:
        record = DNSRecord.parse(data)
        header = record.header
        identity = int(header.id)
        if len(record.questions) != 1 or record.rr or record.auth:
            return _refuse(data, Code.FORMERR)
        question = record.questions[0]
        if header.get_opcode() != 0:
            return _refuse(data, Code.NOTIMP, question)
        labels: tuple[bytes, ...] = question.qname.label
        name = b".".join(labels)
    except (DNSError, ValueError, IndexError, KeyError, UnicodeError):
        return _refuse(data, Code.FORMERR)
    if question.qclass != _IN or question.qtype not in Type.__members__.values():
        return _refuse(data, Code.REFUSED, question)
    printable = all(0x21 <= byte <= 0x7E and byte != 0x2E for label in labels for byte in label)
    if len(name) > NAME_BYTES_MAX or len(labels) > LABELS_MAX or not printable:
        return _refuse(data, Code.REFUSED, question)
    udp_bytes = UDP_BYTES_PLAIN
    for extra in record.ar:
        if extra.rtype == QTYPE.OPT:
            udp_bytes = max(UDP_BYTES_PLAIN, min(UDP_BYTES, extra.rclass))
    return Question(identity, name.decode().lower(), Type(question.qtype), udp_bytes)


def write_query(question: Question, *, id: int) -> bytes:
    """The same question as ours: another id, and nothing else of what the workspace sent."""
    record = DNSRecord(DNSHeader(id=id, rd=1), q=DNSQuestion(question.name, question.type))
    record.add_ar(EDNS0(udp_len=UDP_BYTES))
    return bytes(record.pack())


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a question; `records` are dnslib's, checked. Lives `ttl_s` in the cache."""

    code: Code
    records: tuple[RR, ...]
    ttl_s: int


def read_answer(data: bytes, question: Question, *, id: int, opened: tuple[Trusted, ...]) -> Reply:
    """Judge what a resolver sent. Raises ValueError if it does not answer `question`."""
    if len(data) > 65535:
        raise ValueError("too long")
    try:
        record = DNSRecord.parse(data)
        header = record.header
        asked = [(str(q.qname).rstrip(".").lower(), q.qtype) for q in record.questions]
    except (DNSError, IndexError, KeyError, UnicodeError) as error:
        raise ValueError(f"not an answer: {error}") from error
    if header.id != id or not header.qr or asked != [(question.name, question.type)]:
        raise ValueError("an answer to another question")
    if header.rcode not in (Code.NOERROR, Code.NXDOMAIN):
        raise ValueError(f"the resolver says {RCODE.get(header.rcode)}")
    kept: list[RR] = []
    ttl = TTL_MAX_S
    for entry in record.rr[:RECORDS_MAX]:
        if entry.rclass != _IN or entry.rtype not in Type.__members__.values():
            continue
        if not _may_point(entry, opened):
            return Reply(Code.REFUSED, (), NEGATIVE_TTL_S)
        ttl = max(0, min(ttl, int(entry.ttl or 0)))
        entry.ttl = min(TTL_MAX_S, int(entry.ttl or 0))
        kept.append(entry)
    ttl = ttl if kept else NEGATIVE_TTL_S
    return Reply(Code(header.rcode), tuple(kept), ttl)


def warm_up() -> None:
    """Load what Python loads late: after root is dropped, our own files may be out of reach."""
    question = Question(1, "warm-up.invalid", Type.A, UDP_BYTES)
    record = DNSRecord.parse(write_query(question, id=1))
    answer = record.reply()
    answer.add_answer(RR(question.name, QTYPE.A, rdata=A("192.0.2.1")))
    write_answer(
        question,
        read_answer(bytes(answer.pack()), question, id=1, opened=()),
        bytes_max=UDP_BYTES,
    )
    read_query(b"\0" * 12)


def is_truncated(data: bytes) -> bool:
    return len(data) > 2 and bool(data[2] & 0x02)


def write_answer(question: Question, reply: Reply, *, bytes_max: int) -> bytes:
    """For the workspace; cut, and marked so, when it does not fit."""
    header = DNSHeader(id=question.id, qr=1, rd=1, ra=1, rcode=int(reply.code))
    record = DNSRecord(header, q=DNSQuestion(question.name, question.type))
    record.rr = list(reply.records)
    data = bytes(record.pack())
    if len(data) <= bytes_max:
        return data
    header.tc = 1
    record.rr = []
    return bytes(record.pack())


def _may_point(entry: RR, opened: tuple[Trusted, ...]) -> bool:
    data = entry.rdata
    if isinstance(data, AAAA):
        return reachable(IPv6Address(bytes(cast("tuple[int, ...]", data.data))), opened)
    if isinstance(data, A):
        return reachable(IPv4Address(bytes(cast("tuple[int, ...]", data.data))), opened)
    return True


def _refuse(data: bytes, code: Code, question: DNSQuestion | None = None) -> Refusal:
    """With the question, where it could be read: resolvers ignore an answer without it."""
    header = DNSHeader(id=int.from_bytes(data[:2], "big"), qr=1, rd=data[2] & 1, ra=1)
    header.rcode = int(code)
    return Refusal(bytes(DNSRecord(header, q=question).pack()))
