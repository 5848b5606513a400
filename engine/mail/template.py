"""Compiles a message for a sender: once per message, whatever it costs, so that composing costs nothing.

Templates get their static header fields, MIME frame and encoded parts; raw messages (RFC 5322) keep their octets and
get the fields that are missing. Both end as the same Compiled. What a sender's identity adds: From, Feedback-ID,
List-Unsubscribe with List-Unsubscribe-Post (RFC 8058). Refuses a message that does not suit its sender: a link without
a URL to make it from, a raw From outside the signing domain. Fields written by a raw message itself are never doubled.
"""

from __future__ import annotations

import hashlib

from engine.mail.address import parse_address
from engine.mail.body import Body, FixedBody, MergedBody
from engine.mail.compose import Compiled, Own, Static
from engine.mail.dkim import SIGNED, relaxed_field
from engine.mail.header import FieldTemplate
from engine.mail.identity import SenderIdentity, around_token, feedback_id, is_aligned, mailto_uri
from engine.mail.mailbox import read_mailbox, write_mailbox
from engine.mail.message import TOKENS, MessageError, MessageSpec, encode, header_templates, use_of
from engine.mail.mime import frame
from engine.mail.raw import RawError, RawMessage, read_raw
from engine.mail.slots import CANCEL_URL, NO_FIELDS, cut
from engine.mail.transfer import Part, Places, encode_part

_ONE_CLICK = "List-Unsubscribe=One-Click"
"""RFC 8058 3.1: these very characters."""


def compile_message(spec: MessageSpec, identity: SenderIdentity) -> Compiled:
    """Raises MessageError when the message does not suit the sender. The identity has passed check_identity()."""
    if spec.raw is not None:
        return _compile_raw(spec.raw, identity)
    use = use_of(spec)
    if not identity.unsubscribe_url:
        for field, text in (("text", spec.text), ("html", spec.html)):
            if CANCEL_URL in (text or ""):
                raise MessageError(field, "", f"uses {CANCEL_URL}, but sender {identity.name!a} has no unsubscribe_url")
    templates = [FieldTemplate(name, template) for name, template in header_templates(spec)]
    mime, body = _body(spec)
    lines = _sender_fields(identity) + [
        _structured(name, value) for name, value in spec.headers if _is_structured(name)
    ]
    lines += [field.render({})[0] for field in templates if not field.names]
    own = Own(
        unsubscribe=bool(identity.unsubscribe_url),
        mailto=mailto_uri(identity),
        around=around_token(identity.unsubscribe_url),
        free=tuple(field for field in templates if field.names),
    )
    return Compiled(use, _static(b"".join([*lines, mime])), own, body, eightbit=False, utf8=False)


def _sender_fields(identity: SenderIdentity) -> list[bytes]:
    author = write_mailbox(identity.from_display, parse_address(identity.from_address))
    lines = [f"From: {author}\r\n"]
    if identity.unsubscribe_url:
        lines.append(f"List-Unsubscribe-Post: {_ONE_CLICK}\r\n")
    if identity.feedback_id:
        lines.append(f"Feedback-ID: {feedback_id(identity)}\r\n")
    return [line.encode("ascii") for line in lines]


def _is_structured(name: str) -> bool:
    return name.lower() == "reply-to" or name.lower() in TOKENS


def _structured(name: str, value: str) -> bytes:
    if name.lower() == "reply-to":
        display, address = read_mailbox(value)
        return f"{name}: {write_mailbox(display, address)}\r\n".encode()
    return FieldTemplate(name, (value,)).render({})[0]


def _static(wire: bytes) -> Static:
    """All of it read back as a raw message is, which yields names and canonical forms."""
    return _signed(read_raw(wire + b"\r\n"), wire)


def _signed(message: RawMessage, wire: bytes) -> Static:
    # Bottom up: where a name occurs twice, its last instance is hashed first (RFC 6376 5.4.2).
    signed = [field for field in reversed(message.fields) if field.lower in SIGNED]
    canonical = b"".join(relaxed_field(field.name.encode("ascii"), field.value) for field in signed)
    return Static(wire, [field.name for field in signed], canonical)


def _body(spec: MessageSpec) -> tuple[bytes, Body]:
    """The MIME fields, and the body."""
    given = [(subtype, text) for subtype, text in (("plain", spec.text), ("html", spec.html)) if text]
    places = Places()
    parts: list[tuple[str, Part]] = []
    for subtype, text in given:
        part = encode_part(cut(text), markup=subtype == "html", places=places, alone=len(given) == 1)
        parts.append((subtype, part))
    boundary = "=_" + hashlib.sha256(encode(spec)).hexdigest()[:32]
    mime, statics = frame(parts, boundary)
    if places.values:
        return mime, MergedBody(statics, [part for _, part in parts], places)
    pieces = [statics[0]]
    for (_, part), behind in zip(parts, statics[1:], strict=True):
        pieces += (part.lead, behind)
    return mime, FixedBody(b"".join(pieces))


def _compile_raw(raw: bytes, identity: SenderIdentity) -> Compiled:
    try:
        message = read_raw(raw)
    except RawError as error:
        raise MessageError("raw", "", str(error)) from None
    if not is_aligned(message.author.domain, identity.domain):
        raise MessageError("raw", message.author.text, f"From is not in the signing domain {identity.domain}")
    names = message.names
    added = b""
    unsubscribe = bool(identity.unsubscribe_url) and names.isdisjoint({"list-unsubscribe", "list-unsubscribe-post"})
    if unsubscribe:
        added += f"List-Unsubscribe-Post: {_ONE_CLICK}\r\n".encode("ascii")
    if identity.feedback_id and "feedback-id" not in names:
        added += f"Feedback-ID: {feedback_id(identity)}\r\n".encode("ascii")
    header = added + b"".join(field.wire for field in message.fields)
    own = Own(
        date="date" not in names,
        message_id="message-id" not in names,
        to=False,
        unsubscribe=unsubscribe,
        mailto=mailto_uri(identity),
        around=around_token(identity.unsubscribe_url),
    )
    eightbit = not (header.isascii() and message.body.isascii())
    static = _signed(read_raw(header + b"\r\n"), header)
    return Compiled(NO_FIELDS, static, own, FixedBody(message.body), eightbit=eightbit, utf8=not header.isascii())
