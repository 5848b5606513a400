"""DKIM signatures (RFC 6376, Ed25519 by RFC 8463): what is hashed, and the header field that carries the result.

relaxed/relaxed only. This file makes no signature and sees no private key: it gives the canonical octets, the field
with its empty b=, and afterwards the field with the signature folded in. The body hash is the caller's (once per
distinct body). No l= (a signature over a part of the body is an invitation), no x= (a deferred mail must still verify).
From, To, Cc, Subject, Date and Reply-To are named once more than they occur, so that nobody can add another one
(RFC 6376 8.15).
"""

from __future__ import annotations

import hashlib
import re
from binascii import b2a_base64
from collections.abc import Iterable
from typing import Protocol

from engine.mail.lines import lines_of

SIGNED = frozenset(
    {
        "from", "to", "cc", "subject", "date", "reply-to", "sender", "message-id", "in-reply-to", "references",
        "mime-version", "content-type", "content-transfer-encoding", "content-disposition", "content-language",
        "content-id", "content-description", "auto-submitted", "feedback-id",
        "list-id", "list-help", "list-owner", "list-archive", "list-post", "list-subscribe",
        "list-unsubscribe", "list-unsubscribe-post",
    }
)  # fmt: skip
"""Lower-case names of the fields that are signed when they are there (RFC 6376 5.4.1, RFC 8058 4)."""
OVERSIGNED = ("From", "To", "Cc", "Subject", "Date", "Reply-To")

_WSP_RUN = re.compile(rb"[ \t]+")
_LINE = 72
"""Characters of base64 in one line of b=."""


class Key(Protocol):
    """What a signature says of its key; the signer's KeyInfo."""

    @property
    def domain(self) -> str: ...
    @property
    def selector(self) -> str: ...
    @property
    def algorithm(self) -> str:
        """As in a=: "rsa-sha256" or "ed25519-sha256"."""
        ...


def relaxed_field(name: bytes, value: bytes) -> bytes:
    """RFC 6376 3.4.2, with the CRLF. The value may be folded and may end in CRLF."""
    unfolded = _WSP_RUN.sub(b" ", value.replace(b"\r\n", b"")).strip(b" ")
    return name.strip(b" \t").lower() + b":" + unfolded + b"\r\n"


def relaxed_body(body: bytes) -> bytes:
    """RFC 6376 3.4.4. Lines must end in CRLF."""
    body = body.replace(b"\t", b" ")
    # Halves every run, so ten rounds at most; replace() is far faster than a pattern.
    while b"  " in body:
        body = body.replace(b"  ", b" ")
    body = body.replace(b" \r\n", b"\r\n")
    lines = body.rstrip(b"\r\n")
    return lines + b"\r\n" if lines else b""


def body_hash(canonical: bytes) -> bytes:
    """The value of bh=."""
    return b2a_base64(hashlib.sha256(canonical).digest(), newline=False)


def signed_names(present: Iterable[str]) -> list[str]:
    """Which of the fields of a message go into h=, in the order in which they must be hashed (that of `present`,
    bottom up where a name occurs twice, RFC 6376 5.4.2), the oversigned ones last.
    """
    return [*(name for name in present if name.lower() in SIGNED), *OVERSIGNED]


class SignatureField:
    """One key's DKIM-Signature of one message, all but t=, bh= and b= ready; t= is kept for a second."""

    __slots__ = ("_head", "_now", "_tail", "canonical", "key", "wire")

    def __init__(self, key: Key, names: Iterable[str]) -> None:
        self.key = key
        self._head = (
            f"DKIM-Signature: v=1; a={key.algorithm}; c=relaxed/relaxed;\r\n\td={key.domain}; s={key.selector};\r\n\tt="
        ).encode("ascii")
        self._tail = ";\r\n\th=".encode("ascii") + _fold_names(names) + b";\r\n\tbh="
        self._now = -1
        self.wire = b""
        self.canonical = b""

    def at(self, now: int) -> None:
        """Makes `wire` and `canonical` (both end in bh=) those of this second."""
        if now != self._now:
            self._now = now
            self.wire = self._head + str(now).encode("ascii") + self._tail
            name, _, value = self.wire.partition(b":")
            self.canonical = relaxed_field(name, value)[:-2]


def _fold_names(names: Iterable[str]) -> bytes:
    lines, line = [], ""
    for name in names:
        if len(line) + len(name) > 70 and line:
            lines.append(line)
            line = ""
        line += f"{name}:"
    lines.append(line.removesuffix(":"))
    return "\r\n\t".join(lines).encode("ascii")


def fold_signature(signature: bytes) -> bytes:
    """The value of b=, in lines of 72 characters; 86 (Ed25519) to 1,400 characters (RSA-8192) long."""
    text = b2a_base64(signature, newline=False)
    return b"\r\n\t".join(lines_of(text, _LINE))
