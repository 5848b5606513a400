"""DNS messages as bytes: the question we send, and what is believed of a response (RFC 1035 4, RFC 6891, RFC 8914).

dnspython's own messages cost half a millisecond each, more than ten letters may; a mailing to 100,000 domains asks
100,000 questions. So the few record types that mail needs are read here, from bytes that a stranger wrote: every
offset is checked, names are bounded and their pointers go backwards only, the number of records is bounded. A test
holds this file to dnspython's reading of the same messages. It knows no socket, no clock and no cache.
"""

from __future__ import annotations

import re
import struct
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

MAX_RECORDS: Final = 600
"""Read of one section; what stands behind them is not looked at."""
MAX_CHAIN: Final = 8
"""CNAMEs followed, in all."""
UDP_SIZE: Final = 1232
"""Bytes that a UDP response may have: larger ones come over TCP instead of in fragments that can be forged."""
LONGEST_NAME: Final = 253
_LABEL: Final = re.compile(rb"[a-z0-9_-]+")
_NAME: Final = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_QUESTION_END: Final = struct.Struct("!HH")
_HEADER: Final = struct.Struct("!6H")
_RECORD: Final = struct.Struct("!HHIH")
_OPT: Final = struct.Struct("!BHHIH")
_DNSSEC_OK: Final = 0x8000
_BOGUS: Final = frozenset({6, 7, 8, 9, 10, 12})
"""Extended errors that say: signed, and the signature does not hold."""


class Kind(IntEnum):
    """Record types."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    MX = 15
    TXT = 16
    AAAA = 28
    OPT = 41
    TLSA = 52


_MX, _CNAME, _SOA, _OPT_KIND = int(Kind.MX), int(Kind.CNAME), int(Kind.SOA), int(Kind.OPT)
"""Plain numbers: compared for each record, and three times as fast."""


class Mx(NamedTuple):
    preference: int
    host: str
    """Empty: the root, a null MX when it stands alone (RFC 7505)."""


class Tlsa(NamedTuple):
    usage: int
    selector: int
    matching: int
    data: bytes


Value = str | bytes | Mx | Tlsa
"""A, AAAA, CNAME, NS and PTR are text (names in lower case, without the dot at the end); TXT is its strings joined."""


class WireError(ValueError):
    """These bytes are no DNS message, or none that answers."""


class Response(NamedTuple):
    rcode: int
    truncated: bool
    authentic: bool
    """The resolver says that it validated this (AD). Worth what the way to the resolver is worth."""
    name: str
    """The last name of the CNAME chain, where the records stand."""
    aliases: int
    """CNAMEs from the question to `name`."""
    values: tuple[Value, ...]
    ttl: int
    """Seconds, the least of chain and records; of a negative answer that of RFC 2308 5, -1 if the response has none."""
    bogus: bool


def question(name: str, kind: int) -> bytes:
    """The question section. Raises WireError for what cannot be a name in DNS."""
    name = name.lower()
    if len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        raise WireError(f"{name[:80]!a} is no name that DNS could have")
    labels = "".join([chr(len(label)) + label for label in name.split(".")]).encode("ascii")
    return labels + b"\0" + _QUESTION_END.pack(kind, 1)


def query(number: int, asked: bytes, *, edns: bool, dnssec: bool) -> bytes:
    """`dnssec`: asks for AD and signatures (RFC 6840 5.7, RFC 3225)."""
    flags = 0x0100 | (0x0020 if dnssec else 0)
    head = _HEADER.pack(number, flags, 1, 0, 0, int(edns))
    if not edns:
        return head + asked
    return head + asked + _OPT.pack(0, Kind.OPT, UDP_SIZE, _DNSSEC_OK if dnssec else 0, 0)


def answers(wire: bytes, number: int, asked: bytes) -> bool:
    """Whether this is a response to our question: its number and its question are ours."""
    end = 12 + len(asked)
    return (
        len(wire) >= end
        and wire[0] << 8 | wire[1] == number
        and wire[2] & 0xF8 == 0x80
        and wire[4:6] == b"\0\1"
        and wire[end - 4 : end] == asked[-4:]
        and wire[12 : end - 4].lower() == asked[:-4]
    )


def read_response(wire: bytes, asked: bytes, name: str) -> Response:
    """Raises WireError. `answers` has been asked before; `name` is the question's, in lower case."""
    try:
        return _read(wire, asked, name)
    except (IndexError, struct.error):
        raise WireError("ends in the middle") from None


def _read(wire: bytes, asked: bytes, name: str) -> Response:
    _, flags, _, answer_count, authority_count, other_count = _HEADER.unpack_from(wire)
    kind = asked[-4] << 8 | asked[-3]
    at = 12 + len(asked)
    values: list[Value] = []
    ttl = -1
    elsewhere: dict[str, tuple[int, list[Value]]] = {}
    aliases: dict[str, tuple[int, str]] = {}
    for _ in range(min(answer_count, MAX_RECORDS)):
        owner, of, record_ttl, start, end = _next_record(wire, at, name)
        if of == kind and owner == name:
            values.append(_value(wire, of, start, end))
            ttl = record_ttl if ttl < 0 else min(ttl, record_ttl)
        elif of == kind:
            known, others = elsewhere.setdefault(owner, (record_ttl, []))
            others.append(_value(wire, of, start, end))
            if record_ttl < known:
                elsewhere[owner] = (record_ttl, others)
        elif of == _CNAME:
            aliases[owner] = (record_ttl, read_name(wire, start)[0])
        at = end
    followed = 0
    if aliases:
        name, followed, chain_ttl = _chain(name, aliases)
        ttl, values = elsewhere.get(name, (-1, []))
        ttl = _least(chain_ttl, ttl)
    rcode, bogus = flags & 15, False
    if not values and answer_count <= MAX_RECORDS:
        bogus, negative, rcode = _rest(wire, at, authority_count, other_count, rcode)
        ttl = _least(ttl, negative)
    return Response(rcode, bool(flags & 0x0200), bool(flags & 0x0020), name, followed, tuple(values), ttl, bogus)


def _chain(name: str, aliases: dict[str, tuple[int, str]]) -> tuple[str, int, int]:
    """Where the aliases of this message lead: name, how many, least TTL (-1: none)."""
    followed, least = 0, -1
    while name in aliases and followed <= MAX_CHAIN:
        ttl, name = aliases[name]
        least = _least(least, ttl)
        followed += 1
    return name, followed, least


def _least(one: int, other: int) -> int:
    """-1 is none."""
    return max(one, other) if one < 0 or other < 0 else min(one, other)


def _next_record(wire: bytes, at: int, asked_name: str) -> tuple[str, int, int, int, int]:
    """Owner, type, TTL, and where its data begins and ends. Without `asked_name` the owner is not read."""
    if wire[at] == 0xC0 and wire[at + 1] == 12:
        owner, at = asked_name, at + 2
    elif asked_name:
        owner, at = read_name(wire, at)
    else:
        owner, at = "", _past_name(wire, at)
    kind, kind_class, ttl, length = _RECORD.unpack_from(wire, at)
    start = at + 10
    if start + length > len(wire):
        raise WireError("a record is longer than its message")
    if kind_class != 1 and kind != _OPT_KIND:
        kind = 0
    # RFC 2181 8: a TTL with the highest bit set is none.
    return owner, kind, ttl if ttl < 0x80000000 or kind == _OPT_KIND else 0, start, start + length


def _past_name(wire: bytes, at: int) -> int:
    while size := wire[at]:
        if size >= 192:
            return at + 2
        at += 1 + size
    return at + 1


def _rest(wire: bytes, at: int, authority: int, others: int, rcode: int) -> tuple[bool, int, int]:
    """Of a negative answer: whether it is bogus, how long it holds (RFC 2308), and the whole rcode."""
    bogus, negative = False, -1
    for number in range(min(authority + others, MAX_RECORDS)):
        _, kind, ttl, start, end = _next_record(wire, at, "")
        if kind == _SOA and number < authority and end - start >= 22:
            negative = min(ttl, struct.unpack_from("!I", wire, end - 4)[0])
        elif kind == _OPT_KIND:
            rcode |= ttl >> 24 << 4
            bogus = bogus or _is_bogus(wire, start, end)
        at = end
    return bogus, negative, rcode


def _is_bogus(wire: bytes, at: int, end: int) -> bool:
    while at + 4 <= end:
        code, length = struct.unpack_from("!HH", wire, at)
        if code == 15 and length >= 2 and at + 6 <= end and wire[at + 4] << 8 | wire[at + 5] in _BOGUS:
            return True
        at += 4 + length
    return False


def read_name(wire: bytes, at: int) -> tuple[str, int]:
    r"""Text in lower case and where the name ends. What is no letter, digit, hyphen or underscore is written as \DDD,
    a dot inside a label too, so that it never looks like another name.
    """
    labels: list[bytes] = []
    total, end, limit = 0, -1, at
    while size := wire[at]:
        if size < 64:
            labels.append(wire[at + 1 : at + 1 + size])
            at += 1 + size
            total += 1 + size
            if total > LONGEST_NAME + 1:
                raise WireError("a name is too long")
        elif size >= 192:
            if end < 0:
                end = at + 2
            at = (size & 63) << 8 | wire[at + 1]
            if at >= limit:
                raise WireError("a name points forward")
            limit = at
        else:
            raise WireError("a label of a kind that does not exist")
    name = b".".join(labels).lower().decode("latin-1")
    if labels and (name.count(".") != len(labels) - 1 or not _NAME.fullmatch(name)):
        name = ".".join([_escaped(label.lower()) for label in labels])
    return name, at + 1 if end < 0 else end


def _escaped(label: bytes) -> str:
    return "".join(chr(byte) if _LABEL.fullmatch(bytes((byte,))) else f"\\{byte:03d}" for byte in label)


def _value(wire: bytes, kind: int, start: int, end: int) -> Value:  # noqa: PLR0911 - a table of types
    if kind == _MX:
        host, at = read_name(wire, start + 2)
        if at != end:
            _fits(at, end)
        return Mx(wire[start] << 8 | wire[start + 1], host)
    if kind == Kind.A:
        _fits(start + 4, end)
        return str(IPv4Address(wire[start:end]))
    if kind == Kind.AAAA:
        _fits(start + 16, end)
        return str(IPv6Address(wire[start:end]))
    if kind == Kind.TXT:
        return _strings(wire, start, end)
    if kind == Kind.TLSA:
        if end - start < 3:
            raise WireError("a TLSA record is too short")
        return Tlsa(wire[start], wire[start + 1], wire[start + 2], wire[start + 3 : end])
    if kind in (Kind.CNAME, Kind.PTR, Kind.NS):
        name, at = read_name(wire, start)
        _fits(at, end)
        return name
    return wire[start:end]


def _fits(at: int, end: int) -> None:
    if at != end:
        raise WireError("a record's data is of the wrong length")


def _strings(wire: bytes, at: int, end: int) -> bytes:
    parts = []
    while at < end:
        size = wire[at]
        parts.append(wire[at + 1 : at + 1 + size])
        at += 1 + size
    _fits(at, end)
    return b"".join(parts)
