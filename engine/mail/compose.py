"""One recipient's mail out of a compiled message: header and body joined, digests to sign, the payload at the end.

compose() renders body and header and hashes the body; digest() gives what one key has to sign; finish() puts the
signatures in and joins the payload for DATA: lines of CRLF, dots stuffed, no final dot. Everything that is the same for
all recipients was made at compile time, the hash states of the static beginnings included. Nothing here fails on a
value; a missing merge field or an address that was never parsed is our own bug and raises.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate

from engine.mail.body import Body
from engine.mail.dkim import SIGNED, Key, SignatureField, fold_signature, signed_names
from engine.mail.envelope import recipient_text
from engine.mail.header import FieldTemplate
from engine.mail.identity import TOKEN
from engine.mail.slots import FieldUse

_MAX_KEYS = 64


@dataclass(slots=True)
class Facts:
    """What one recipient's mail is made of."""

    recipient_id: int
    address: str
    """Address.wire."""
    fields: Mapping[str, str]
    date_text: str
    """RFC 5322 3.3, by date_text()."""
    cancel_url: str
    """Empty when the sender has none."""
    message_id: str
    """Without angle brackets, by make_message_id()."""


def date_text(now: float) -> str:
    """RFC 5322 3.3, UTC. Slow: keep it for the second."""
    return formatdate(int(now)).replace("-0000", "+0000")


def make_message_id(recipient_id: int, domain: str) -> str:
    """The same at every attempt (RFC 5322 3.6.4), without angle brackets."""
    return f"{recipient_text(recipient_id)}@{domain}"


@dataclass(frozen=True, slots=True)
class Own:
    """Which fields each recipient gets of their own, and whether they are there at all."""

    date: bool = True
    message_id: bool = True
    to: bool = True
    unsubscribe: bool = False
    mailto: str = ""
    """What stands in List-Unsubscribe behind the link, with {token} where the link's token goes; empty: nothing."""
    around: tuple[int, int] = (0, 0)
    """Characters of the link before and behind its token."""
    free: tuple[FieldTemplate, ...] = ()
    """Fields with merge fields in them."""

    @property
    def names(self) -> list[str]:
        standing = (
            ("Date", self.date),
            ("Message-ID", self.message_id),
            ("To", self.to),
            ("List-Unsubscribe", self.unsubscribe),
        )
        return [name for name, there in standing if there] + [field.name for field in self.free]

    def formats(self) -> tuple[str, str]:
        """Of date, message id, address and link: for the wire, and canonical. `%.0s` shows nothing of its argument."""
        wire = "Date: %s\r\n" if self.date else "%.0s"
        wire += "Message-ID: <%s>\r\n" if self.message_id else "%.0s"
        wire += "To: %s\r\n" if self.to else "%.0s"
        wire += "List-Unsubscribe: <%s>\r\n" if self.unsubscribe else "%.0s"
        canonical = wire.replace(": ", ":")
        for name in ("Date", "Message-ID", "To", "List-Unsubscribe"):
            canonical = canonical.replace(f"{name}:", f"{name.lower()}:")
        return wire, canonical


@dataclass(frozen=True, slots=True)
class Static:
    """Fields that are the same for everybody."""

    wire: bytes
    names: Sequence[str]
    """Of the signed ones, in the order of `canonical`."""
    canonical: bytes


class Compiled:
    """A message, compiled for a sender. One thread at a time."""

    __slots__ = (
        "__weakref__",
        "_around",
        "_body",
        "_canonical",
        "_free",
        "_mailto",
        "_names",
        "_signatures",
        "_state",
        "_unsubscribe",
        "_wire",
        "eightbit",
        "static",
        "use",
        "utf8",
        "without_ad",
    )

    def __init__(self, use: FieldUse, static: Static, own: Own, body: Body, *, eightbit: bool, utf8: bool) -> None:
        self.use = use
        self.static = static.wire + b"\r\n"
        self._unsubscribe = own.unsubscribe
        self._mailto = own.mailto.partition(TOKEN)[::2] if own.mailto else None
        self._around = own.around
        self._body = body
        self.eightbit = eightbit
        self.utf8 = utf8
        self.without_ad: Compiled | None = None
        """The same message without its advertisement, when the sender supplied it."""
        self._free = [(field, field.name.lower() in SIGNED) for field in own.free]
        self._wire, self._canonical = own.formats()
        self._names = signed_names((*static.names, *own.names))
        self._state = hashlib.sha256(static.canonical)
        self._signatures: dict[int, SignatureField] = {}

    def compose(self, facts: Facts) -> Draft:
        """Raises KeyError (a field that check_fields() would have missed) and ValueError (an unparsed address)."""
        address, url = facts.address, facts.cancel_url
        if not address.isprintable() or not url.isprintable() or (self._unsubscribe and not url):
            raise ValueError(f"recipient {facts.recipient_id}: address {address[:80]!a} or link {url[:80]!a} cannot be")
        own = same = (facts.date_text, facts.message_id, address, url)
        if self._mailto:
            mailto = self._mailto_of(url)
            # The brackets around both are the format's.
            own, same = (*own[:3], f"{url}>,\r\n <{mailto}"), (*own[:3], f"{url}>, <{mailto}")
        wire = (self._wire % own).encode()
        canonical = (self._canonical % same).encode()
        for field, signed in self._free:
            field_wire, field_canonical = field.render(facts.fields)
            wire += field_wire
            if signed:
                canonical += field_canonical
        return Draft(self, wire, canonical, self._body.render(facts.fields, url), not address.isascii())

    def _mailto_of(self, url: str) -> str:
        before, behind = self._around
        assert self._mailto is not None
        return url[before : len(url) - behind].join(self._mailto)

    def header_state(self) -> hashlib._Hash:
        """SHA-256 of the static fields, a copy."""
        return self._state.copy()

    def signature_field(self, key: Key) -> SignatureField:
        field = self._signatures.get(id(key))
        if field is None:
            if len(self._signatures) >= _MAX_KEYS:
                self._signatures.clear()
            # The field holds the key, so its id is not given to another one.
            field = self._signatures[id(key)] = SignatureField(key, self._names)
        return field


class Draft:
    """A mail that waits for its signatures."""

    __slots__ = ("_body", "_canonical", "_compiled", "_signatures", "_wire", "eightbit", "utf8")

    def __init__(
        self, compiled: Compiled, wire: bytes, canonical: bytes, body: tuple[bytes, bytes, bytes], utf8_address: bool
    ) -> None:
        self._compiled = compiled
        self._wire = wire
        self._canonical = canonical
        self._body = body
        self._signatures: dict[int, bytes] = {}
        self.eightbit = utf8_address or compiled.eightbit
        """The payload needs 8BITMIME."""
        self.utf8 = utf8_address or compiled.utf8
        """The payload, or the recipient, needs SMTPUTF8."""

    def digest(self, key: Key, now: float) -> bytes:
        """The SHA-256 that this key has to sign (RFC 6376 3.7; RFC 8463 3 signs the same one)."""
        field = self._compiled.signature_field(key)
        field.at(int(now))
        self._signatures[id(key)] = field.wire
        state = self._compiled.header_state()
        state.update(self._canonical + field.canonical + self._body[2] + b"; b=")
        return state.digest()

    def finish(self, signatures: Iterable[tuple[Key, bytes]]) -> bytes:
        """The payload, signed by these keys, which have had their digest(); the first one's field comes first."""
        lead, rest, body_hash = self._body
        pieces: list[bytes] = []
        for key, signature in signatures:
            pieces += (self._signatures[id(key)], body_hash, b";\r\n\tb=", fold_signature(signature), b"\r\n")
        pieces += (self._wire, self._compiled.static, lead, rest)
        return b"".join(pieces)
