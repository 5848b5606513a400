"""Our reading of DNS messages against dnspython's, and against whatever a stranger writes."""

from __future__ import annotations

import contextlib
import random
import struct

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.net.answer import (
    LONGEST_NAME,
    MAX_CHAIN,
    MAX_RECORDS,
    Kind,
    Mx,
    Response,
    Tlsa,
    WireError,
    answers,
    query,
    question,
    read_name,
    read_response,
)


def message(name: str, kind: Kind, *rows: tuple[str, str, str]) -> dns.message.Message:
    """`rows`: owner, type, text of a record of the answer section."""
    asked = dns.message.make_query(name, kind.name, use_edns=0, id=7)
    response = dns.message.make_response(asked)
    for owner, row_kind, text in rows:
        response.answer.append(dns.rrset.from_text(owner + ".", 300, "IN", row_kind, text))
    return response


def read(response: dns.message.Message | bytes, name: str = "a.example", kind: Kind = Kind.MX) -> Response:
    wire = response if isinstance(response, bytes) else response.to_wire()
    asked = question(name, kind)
    assert answers(wire, 7, asked)
    return read_response(wire, asked, name)


@pytest.mark.parametrize(
    ("kind", "texts", "values"),
    [
        (Kind.MX, ["10 MX1.a.example.", "20 ."], (Mx(10, "mx1.a.example"), Mx(20, ""))),
        (Kind.A, ["192.0.2.1"], ("192.0.2.1",)),
        (Kind.AAAA, ["2001:db8::1"], ("2001:db8::1",)),
        (Kind.TXT, ['"abc" "d;ef" ""'], (b"abcd;ef",)),
        (Kind.TLSA, ["3 1 1 " + "ab" * 32], (Tlsa(3, 1, 1, b"\xab" * 32),)),
        (Kind.PTR, ["host.example."], ("host.example",)),
        (Kind.NS, ["ns.example."], ("ns.example",)),
        (Kind.CNAME, ["Other.Example."], ("other.example",)),
    ],
)
def test_values(kind: Kind, texts: list[str], values: tuple[object, ...]) -> None:
    found = read(message("a.example", kind, *(("a.example", kind.name, text) for text in texts)), kind=kind)
    assert found.values == values
    assert (found.rcode, found.ttl, found.name, found.bogus, found.truncated) == (0, 300, "a.example", False, False)


def test_a_query_is_what_dnspython_reads() -> None:
    asked = question("A.Example", Kind.MX)
    for edns, dnssec in ((True, False), (True, True), (False, False)):
        found = dns.message.from_wire(query(513, asked, edns=edns, dnssec=dnssec))
        assert found.id == 513
        assert found.question[0].to_text() == "a.example. IN MX"
        assert bool(found.flags & dns.flags.RD)
        assert (found.edns == 0, bool(found.flags & dns.flags.AD)) == (edns, dnssec)
        assert bool(found.ednsflags & dns.flags.DO) == dnssec


@pytest.mark.parametrize(
    "name", ["", ".", "a..b", "a b", "日本.jp", "a" * 64, ".".join(["a" * 63] * 4), "a\\.b", "-\n"]
)
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(WireError, match="no name that DNS"):
        question(name, Kind.A)


def test_whose_answer_is_it() -> None:
    wire, asked = message("a.example", Kind.MX).to_wire(), question("a.example", Kind.MX)
    assert answers(wire, 7, asked)
    assert answers(wire.replace(b"\1a\7example", b"\1A\7eXample"), 7, asked)
    assert not answers(wire, 8, asked)
    assert not answers(wire, 7, question("a.example", Kind.A))
    assert not answers(wire, 7, question("b.example", Kind.MX))
    assert not answers(wire[:20], 7, asked)
    assert not answers(query(7, asked, edns=True, dnssec=False), 7, asked), "a query is no response"
    assert not answers(wire[:4] + b"\0\2" + wire[6:], 7, asked), "two questions"


def test_aliases_are_followed_in_any_order() -> None:
    rows = [
        ("c.example", "MX", "10 mx.example."),
        ("b.example", "CNAME", "c.example."),
        ("a.example", "CNAME", "b.example."),
    ]
    found = read(message("a.example", Kind.MX, *rows))
    assert (found.values, found.name, found.aliases) == ((Mx(10, "mx.example"),), "c.example", 2)
    strange = read(message("a.example", Kind.MX, ("other.example", "MX", "10 evil.example.")))
    assert strange.values == (), "what stands under another name is no answer"


def test_a_loop_of_aliases_ends() -> None:
    rows = [("a.example", "CNAME", "b.example."), ("b.example", "CNAME", "a.example.")]
    assert read(message("a.example", Kind.MX, *rows)).aliases == MAX_CHAIN + 1


def test_negative_answers_hold_as_long_as_their_soa_says() -> None:
    response = message("a.example", Kind.MX)
    response.set_rcode(dns.rcode.NXDOMAIN)
    assert read(response).ttl == -1
    for ttl, minimum, expected in ((900, 60, 60), (30, 60, 30)):
        response.authority = [dns.rrset.from_text("example.", ttl, "IN", "SOA", f"ns. root. 1 2 3 4 {minimum}")]
        found = read(response)
        assert (found.rcode, found.values, found.ttl) == (3, (), expected)


def test_what_stands_behind_an_owner_with_a_name_of_its_own() -> None:
    """Owners of the other sections are passed over unread, however they are written."""
    soa = b"\1.\0" + struct.pack("!5I", 1, 2, 3, 4, 60)
    for owner in (b"\7example\0", b"\3sub\xc0\x0c", b"\0"):
        row = owner + struct.pack("!HHIH", Kind.SOA, 1, 900, len(soa)) + soa
        head = struct.pack("!6H", 7, 0x8183, 1, 0, 1, 0)
        assert read(head + question("a.example", Kind.MX) + row).ttl == 60


def test_flags_and_extended_errors() -> None:
    response = message("a.example", Kind.MX)
    response.flags |= dns.flags.AD | dns.flags.TC
    found = read(response)
    assert (found.authentic, found.truncated) == (True, True)
    response.set_rcode(dns.rcode.SERVFAIL)
    for code, bogus in ((6, True), (9, True), (22, False)):
        response.use_edns(0, options=[dns.edns.GenericOption(10, b"cookie12"), dns.edns.EDEOption(code, "why")])
        found = read(response)
        assert (found.rcode, found.bogus) == (2, bogus)
    response.set_rcode(dns.rcode.BADVERS)
    assert read(response).rcode == 16


def test_a_ttl_of_seventy_years_is_none() -> None:
    response = message("a.example", Kind.A, ("a.example", "A", "192.0.2.1")).to_wire()
    where = response.index(struct.pack("!I", 300))
    assert read(response[:where] + b"\xff\xff\xff\xff" + response[where + 4 :], kind=Kind.A).ttl == 0


def raw(records: bytes, count: int = 1) -> bytes:
    """A response to MX of a.example with these bytes as its answer section."""
    return struct.pack("!6H", 7, 0x8180, 1, count, 0, 0) + question("a.example", Kind.MX) + records


def record(data: bytes, kind: int = Kind.MX, length: int | None = None, owner: bytes = b"\xc0\x0c") -> bytes:
    return owner + struct.pack("!HHIH", kind, 1, 300, len(data) if length is None else length) + data


@pytest.mark.parametrize(
    "wire",
    [
        raw(b""),
        raw(record(b"\0\x0a\2mx\0", length=200)),
        raw(record(b"\0\x0a\2mx\0", length=3)),
        raw(record(b"\0\x0a\2mx\0more")),
        raw(record(b"\0\x0a\x80mx\0")),
        raw(record(b"\0\x0a\xc0\xff")),
        raw(record(b"\0")),
        raw(record(b"", owner=b"\xc0\x1d")),
        raw(record(b"\0\x0a" + b"\x3f" + b"a" * 63 + (b"\x3f" + b"a" * 63) * 3 + b"\0")),
        raw(record(b"\0\x0a\2mx\0")[:9]),
    ],
)
def test_messages_that_are_none(wire: bytes) -> None:
    with pytest.raises(WireError):
        read(wire)


def test_data_of_the_wrong_length() -> None:
    for kind, data in ((Kind.A, b"\1\2\3"), (Kind.AAAA, b"\0" * 15), (Kind.TLSA, b"\3"), (Kind.TXT, b"\5abc")):
        asked = question("a.example", kind)
        head = struct.pack("!6H", 7, 0x8180, 1, 1, 0, 0)
        with pytest.raises(WireError):
            read_response(head + asked + record(data, kind), asked, "a.example")


def test_pointers_go_backwards_only() -> None:
    with pytest.raises(WireError, match="forward"):
        read_name(b"\xc0\x00", 0)
    with pytest.raises(WireError, match="forward"):
        read_name(b"\1a\xc0\x02\0", 0)
    chain = b"\1a\0" + b"".join(struct.pack("!H", 0xC000 | (at * 2 + 1 if at else 0)) for at in range(1000))
    assert read_name(chain, len(chain) - 2) == ("a", len(chain))


def test_odd_bytes_never_look_like_another_name() -> None:
    assert read_name(b"\5a.b\xff \2MX\0", 0)[0] == "a\\046b\\255\\032.mx"
    assert read_name(b"\2a.\0", 0)[0] == "a\\046"
    assert read_name(b"\3a\nb\0", 0)[0] == "a\\010b"
    assert read_name(b"\0", 0) == ("", 1)


def test_records_are_bounded() -> None:
    wire = raw(b"".join(record(struct.pack("!H", n) + b"\2mx\0") for n in range(2000)), 2000)
    assert len(read(wire).values) == MAX_RECORDS


def test_classes_other_than_internet_are_nothing() -> None:
    wire = raw(b"\xc0\x0c" + struct.pack("!HHIH", Kind.MX, 3, 300, 6) + b"\0\x0a\2mx\0")
    assert read(wire).values == ()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=120), st.integers(0, 40), st.integers(0, 40), st.sampled_from(sorted(Kind)))
def test_any_bytes_are_read_or_refused(rest: bytes, count: int, others: int, kind: Kind) -> None:
    asked = question("a.example", kind)
    wire = struct.pack("!6H", 7, 0x8180, 1, count, others, others) + asked + rest
    try:
        found = read_response(wire, asked, "a.example")
    except WireError:
        return
    assert len(found.name) <= 4 * LONGEST_NAME
    assert found.name.isascii()


def test_every_shortened_and_every_flipped_message_is_read_or_refused() -> None:
    rows = [("a.example", "CNAME", "b.example."), ("b.example", "MX", "10 mx.b.example.")]
    whole = message("a.example", Kind.MX, *rows).to_wire()
    asked = question("a.example", Kind.MX)
    chance = random.Random(1)
    for at in range(12 + len(asked), len(whole)):
        for wire in (whole[:at], whole[:at] + bytes((whole[at] ^ 1 << chance.randrange(8),)) + whole[at + 1 :]):
            with contextlib.suppress(WireError):
                assert read_response(wire, asked, "a.example").name.isascii()


_LABELS = st.lists(st.text("abcdefgh-_0123456789", min_size=1, max_size=12), min_size=1, max_size=5)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 65535), _LABELS), min_size=1, max_size=12))
def test_mx_as_dnspython_writes_them(records: list[tuple[int, list[str]]]) -> None:
    texts = [f"{preference} {'.'.join(labels)}." for preference, labels in records]
    found = read(message("a.example", Kind.MX, *(("a.example", "MX", text) for text in texts)))
    assert sorted(set(found.values)) == sorted({Mx(number, ".".join(labels)) for number, labels in records})
