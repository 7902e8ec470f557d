"""What the forwarder makes of queries and answers, byte by byte."""

# dnslib has no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false

import pytest
from dnslib import QTYPE, RCODE, RR, DNSHeader, DNSQuestion, DNSRecord
from dnslib.dns import AAAA, CNAME, TXT, A
from hypothesis import given
from hypothesis import strategies as st

from alcove.host.network import names
from alcove.host.network.forwarder import (
    BURST,
    UNDER_WAY_PER_ASKER_MAX,
    Connections,
    Limits,
    resolvers_in,
)
from alcove.host.network.names import Code, Question, Refusal, Reply, Type

QUESTION = Question(7, "a.example", Type.A, 512)


def answer(*records: RR, id: int = 9, name: str = "a.example") -> bytes:
    reply = DNSRecord(DNSHeader(id=id, qr=1, ra=1), q=DNSQuestion(name, QTYPE.A))
    reply.add_answer(*records)
    return bytes(reply.pack())


@given(st.binary(max_size=600))
def test_any_bytes_are_judged(data: bytes) -> None:
    judged = names.read_query(data)
    assert judged is None or isinstance(judged, Question | Refusal)


@given(st.binary(max_size=600))
def test_any_answer_is_judged(data: bytes) -> None:
    try:
        names.read_answer(data, QUESTION, id=9, opened=())
    except ValueError:
        return


def test_only_name_and_type_of_a_question_leave_the_host() -> None:
    asked = DNSRecord.question("Secret-Case.Example", "TXT")
    asked.header.ad = 1
    question = names.read_query(bytes(asked.pack()))
    assert isinstance(question, Question)
    sent = DNSRecord.parse(names.write_query(question, id=99))
    assert (sent.header.id, str(sent.q.qname), sent.q.qtype) == (99, "secret-case.example.", 16)
    assert sent.header.ad == 0


@pytest.mark.parametrize("kind", ["ANY", "NULL", "AXFR"])
def test_a_type_that_is_not_passed_on_is_refused_with_its_question(kind: str) -> None:
    refusal = names.read_query(bytes(DNSRecord.question("x.example", kind).pack()))
    assert isinstance(refusal, Refusal)
    said = DNSRecord.parse(refusal.answer)
    assert said.header.rcode == RCODE.REFUSED
    assert str(said.q.qname) == "x.example."


def test_two_questions_at_once_are_refused() -> None:
    record = DNSRecord.question("a.example")
    record.add_question(DNSQuestion("b.example"))
    assert isinstance(names.read_query(bytes(record.pack())), Refusal)


def test_an_answer_is_never_answered() -> None:
    assert names.read_query(answer()) is None


def test_a_name_with_a_dot_within_a_label_is_refused() -> None:
    query = bytes(DNSRecord.question("axb.example").pack()).replace(b"axb", b"a.b")
    assert isinstance(names.read_query(query), Refusal)


def test_an_answer_to_another_question_is_not_taken() -> None:
    with pytest.raises(ValueError, match="another question"):
        names.read_answer(answer(name="b.example"), QUESTION, id=9, opened=())
    with pytest.raises(ValueError, match="another question"):
        names.read_answer(answer(id=8), QUESTION, id=9, opened=())


def test_a_private_address_behind_an_alias_is_refused() -> None:
    data = answer(
        RR("a.example", QTYPE.CNAME, rdata=CNAME("inside.example")),
        RR("inside.example", QTYPE.A, rdata=A("10.0.0.1")),
    )
    assert names.read_answer(data, QUESTION, id=9, opened=()).code is Code.REFUSED


def test_a_private_ipv6_address_is_refused() -> None:
    data = answer(RR("a.example", QTYPE.AAAA, rdata=AAAA("fd00:ec2::254")))
    assert names.read_answer(data, QUESTION, id=9, opened=()).code is Code.REFUSED


def test_an_answer_is_kept_for_a_minute_at_most() -> None:
    data = answer(RR("a.example", QTYPE.A, rdata=A("1.1.1.1"), ttl=86400))
    assert names.read_answer(data, QUESTION, id=9, opened=()).ttl_s == 60


def test_an_answer_that_does_not_fit_is_cut_and_marked() -> None:
    records = tuple(RR("a.example", QTYPE.TXT, rdata=TXT("x" * 200)) for _ in range(10))
    said = names.write_answer(QUESTION, Reply(Code.NOERROR, records, 1), bytes_max=512)
    assert len(said) <= 512
    assert DNSRecord.parse(said).header.tc


def test_one_asker_has_only_so_many_questions_under_way() -> None:
    limits = Limits(lambda: 0.0)
    assert all(limits.enter("a") for _ in range(UNDER_WAY_PER_ASKER_MAX))
    assert not limits.enter("a")
    assert limits.enter("b")
    limits.leave("a")
    assert limits.enter("a")


def test_a_burst_is_used_up_and_comes_back_with_time() -> None:
    at = [0.0]
    limits = Limits(lambda: at[0])

    def ask() -> bool:
        allowed = limits.enter("a")
        if allowed:
            limits.leave("a")
        return allowed

    assert sum(ask() for _ in range(2 * int(BURST))) == BURST
    at[0] += 1.0
    assert sum(ask() for _ in range(1000)) == 100


def test_one_asker_does_not_take_all_connections() -> None:
    connections = Connections()
    assert [connections.enter("a") for _ in range(5)] == [True] * 4 + [False]
    assert connections.enter("b")
    connections.leave("a")
    assert connections.enter("a")


def test_name_servers_are_read_from_resolv_conf() -> None:
    text = "# c\nnameserver 9.9.9.9\n nameserver fe80::1%eth0\nnameserver x\nsearch y\n"
    assert resolvers_in(text) == ["9.9.9.9", "fe80::1"]
