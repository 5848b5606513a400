"""Compiles a message for a sender: once per message, whatever it costs, so that composing costs nothing.

Templates get their static header fields, MIME frame and encoded parts; raw messages (RFC 5322) keep their octets and
get the fields that are missing. Both end as the same Compiled. What a sender's identity adds: From, Feedback-ID,
List-Unsubscribe with List-Unsubscribe-Post (RFC 8058). Refuses a message that does not suit its sender: a link without
a URL to make it from, a raw From outside the signing domain. Fields written by a raw message itself are never doubled.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from engine.mail.address import parse_address
from engine.mail.body import Body, FixedBody, MergedBody
from engine.mail.compose import Compiled, Own, Static
from engine.mail.dkim import SIGNED, relaxed_field
from engine.mail.footer import FOOTER, Footer
from engine.mail.header import Encode, FieldTemplate, encoded_words
from engine.mail.identity import SenderIdentity, around_token, feedback_id, is_aligned, mailto_uri
from engine.mail.mailbox import read_mailbox, write_mailbox
from engine.mail.message import TOKENS, MessageError, MessageSpec, encode, header_templates, use_of
from engine.mail.mime import frame
from engine.mail.narrow import encoded_words as narrow_words
from engine.mail.narrow import foreign, remedy
from engine.mail.narrow_body import NarrowPart, narrow_body
from engine.mail.raw import RawError, RawMessage, read_raw
from engine.mail.slots import CANCEL_URL, NO_FIELDS, cut
from engine.mail.transfer import Part, Places, encode_part

_ONE_CLICK = "List-Unsubscribe=One-Click"
"""RFC 8058 3.1: these very characters."""


def compile_message(spec: MessageSpec, identity: SenderIdentity, *, mail_order: bool = False) -> Compiled:
    """Raises MessageError when the message does not suit the sender. The identity has passed check_identity().
    `mail_order`: %footer% has the items of 特定商取引法 too.
    """
    if spec.raw is not None:
        return _compile_raw(spec.raw, identity)
    compiled = _compile_template(_with_footer(spec, identity, mail_order), identity)
    if spec.without_ad is not None:
        try:
            variant = _with_footer(spec.without_ad, identity, mail_order)
            compiled.without_ad = _compile_template(variant, identity)
        except MessageError as error:
            raise MessageError(f"without_ad.{error.field}", error.value, error.text) from None
    return compiled


def _with_footer(spec: MessageSpec, identity: SenderIdentity, mail_order: bool) -> MessageSpec:
    used = [field for field, text in (("text", spec.text), ("html", spec.html)) if FOOTER in (text or "")]
    for field in used:
        if identity.profile is None:
            text = f"uses {FOOTER}, but sender {identity.name!a} has no profile: add [senders.{identity.name}.profile]"
            raise MessageError(field, "", text)
        if (getattr(spec, field) or "").count(FOOTER) > 1:
            raise MessageError(field, "", f"has {FOOTER} more than once: keep one")
    if not used or identity.profile is None:
        return spec
    footer = Footer(identity.legal_name, identity.profile, bool(identity.unsubscribe_url), mail_order)
    text, html = footer.text(), footer.html()
    if spec.is_narrow and (character := foreign(text)):
        raise MessageError("charset", "", f"the sender's profile in {FOOTER}: {remedy(character)}")
    return replace(
        spec,
        text=spec.text and spec.text.replace(FOOTER, text),
        html=spec.html and spec.html.replace(FOOTER, html),
    )


def _compile_template(spec: MessageSpec, identity: SenderIdentity) -> Compiled:
    use = use_of(spec)
    words = narrow_words if spec.is_narrow else encoded_words
    if not identity.unsubscribe_url:
        for field, text in (("text", spec.text), ("html", spec.html)):
            if CANCEL_URL in (text or ""):
                raise MessageError(field, "", f"uses {CANCEL_URL}, but sender {identity.name!a} has no unsubscribe_url")
    templates = [FieldTemplate(name, template, words) for name, template in header_templates(spec)]
    mime, body = _body(spec)
    lines = _sender_fields(identity, words) + [
        _structured(name, value, words) for name, value in spec.headers if _is_structured(name)
    ]
    lines += [field.render({})[0] for field in templates if not field.names]
    own = Own(
        unsubscribe=bool(identity.unsubscribe_url),
        mailto=mailto_uri(identity),
        around=around_token(identity.unsubscribe_url),
        free=tuple(field for field in templates if field.names),
    )
    return Compiled(use, _static(b"".join([*lines, mime])), own, body, eightbit=False, utf8=False)


def _sender_fields(identity: SenderIdentity, words: Encode) -> list[bytes]:
    if words is narrow_words and (character := foreign(identity.from_display)):
        raise MessageError("charset", "", f"the sender's display name: {remedy(character)}")
    author = write_mailbox(identity.from_display, parse_address(identity.from_address), words)
    lines = [f"From: {author}\r\n"]
    if identity.unsubscribe_url:
        lines.append(f"List-Unsubscribe-Post: {_ONE_CLICK}\r\n")
    if identity.feedback_id:
        lines.append(f"Feedback-ID: {feedback_id(identity)}\r\n")
    return [line.encode("ascii") for line in lines]


def _is_structured(name: str) -> bool:
    return name.lower() == "reply-to" or name.lower() in TOKENS


def _structured(name: str, value: str, words: Encode) -> bytes:
    if name.lower() == "reply-to":
        display, address = read_mailbox(value)
        return f"{name}: {write_mailbox(display, address, words)}\r\n".encode()
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
    boundary = "=_" + hashlib.sha256(encode(spec)).hexdigest()[:32]
    if spec.is_narrow:
        texts = [NarrowPart(cut(text), markup=subtype == "html") for subtype, text in given]
        named = [(subtype, part) for (subtype, _), part in zip(given, texts, strict=True)]
        mime, statics = frame(named, boundary, spec.charset)
        return mime, narrow_body(statics, texts, boundary)
    places = Places()
    parts: list[tuple[str, Part]] = []
    for subtype, text in given:
        part = encode_part(cut(text), markup=subtype == "html", places=places, alone=len(given) == 1)
        parts.append((subtype, part))
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
