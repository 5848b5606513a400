"""What a client hands over as a message: a template (subject, text, HTML, header fields) or raw RFC 5322 octets.

decode_message() takes what came out of a frame and refuses everything it does not know, naming the field.
encode() gives the canonical octets that are hashed (a mailing of a million names its message by their SHA-256) and
spooled: `R` and the raw octets, or `T` and JSON that an operator can read. Raw messages are checked in raw.py, fields
of a template here; whether a message suits its sender is for compile_message() to say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from engine.mail.mailbox import read_mailbox, write_mailbox
from engine.mail.raw import RawError, read_raw
from engine.mail.slots import BODY_CONTROL, HEADER_CONTROL, NO_FIELDS, FieldUse, Template, TemplateError, cut, field_use

MAX_SUBJECT = 500
MAX_PART = 1 << 20
"""Characters of the text, and of the HTML; SoftBank refuses more than 1 MB in all."""
MAX_FIELDS = 32
MAX_FIELD_VALUE = 900
MAX_FIELDS_SUM = 6000
"""Characters of all fields. SoftBank takes 12 KB of header."""

UNSTRUCTURED = frozenset({"comments", "keywords", "organization"})
"""Free text: any character, and merge fields. X-… too."""
TOKENS = frozenset(
    {
        "auto-submitted", "content-language", "importance", "in-reply-to", "list-archive", "list-help", "list-id",
        "list-owner", "precedence", "priority", "references", "x-priority",
    }
)  # fmt: skip
"""Structured: printable ASCII as it stands, no merge fields. Reply-To takes one mailbox."""
RESERVED = "x-sokutatsu-"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,75}")
_TOKEN_VALUE = re.compile(r"[!-~]+(?: [!-~]+)*")
_KNOWN = frozenset({"subject", "text", "html", "headers", "raw"})


class MessageError(ValueError):
    """Refused; `field` names the part of the message, as in `headers.Reply-To`."""

    def __init__(self, field: str, value: str, text: str) -> None:
        super().__init__(f"{field}: {text}" + (f", got {value[:80]!a}" if value else ""))
        self.field = field
        self.value = value[:80]
        self.text = text


@dataclass(frozen=True, slots=True)
class MessageSpec:
    """Line ends in texts are newlines."""

    subject: str = ""
    text: str | None = None
    html: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    raw: bytes | None = None


def decode_message(given: object) -> MessageSpec:
    """From a decoded map. Raises MessageError."""
    if not isinstance(given, dict):
        raise MessageError("message", "", "must be a map")
    unknown = [name for name in given if name not in _KNOWN]
    if unknown:
        raise MessageError(_shown(unknown[0]), "", f"unknown; a message has {', '.join(sorted(_KNOWN))}")
    raw = given.get("raw")
    if raw is None:
        spec = MessageSpec(
            subject=_text(given, "subject", MAX_SUBJECT) or "",
            text=_text(given, "text", MAX_PART),
            html=_text(given, "html", MAX_PART),
            headers=tuple(_headers(given.get("headers"))),
        )
    elif not isinstance(raw, bytes):
        raise MessageError("raw", "", "must be binary")
    elif len(given) > 1:
        raise MessageError("raw", "", "a raw message has nothing beside it")
    else:
        spec = MessageSpec(raw=raw)
    return _checked(spec)


def _shown(name: object) -> str:
    """A name that we do not know, fit for an error text."""
    return ascii(str(name)[:80])[1:-1]


def _text(given: dict[object, object], field: str, limit: int) -> str | None:
    value = given.get(field)
    if value is None:
        return None
    if not isinstance(value, str):
        raise MessageError(field, "", "must be a string")
    if len(value) > limit:
        raise MessageError(field, "", f"has {len(value)} characters, at most {limit} may be")
    return value.replace("\r\n", "\n").replace("\r", "\n")


def _headers(given: object) -> Iterator[tuple[str, str]]:
    if given is None:
        return
    if not isinstance(given, dict) or len(given) > MAX_FIELDS:
        raise MessageError("headers", "", f"must be a map of at most {MAX_FIELDS} fields")
    for name, value in given.items():
        if not isinstance(name, str) or not isinstance(value, str) or len(value) > MAX_FIELD_VALUE:
            raise MessageError(
                "headers", str(name), f"name and value are strings, the value of at most {MAX_FIELD_VALUE}"
            )
        yield name, value


def _checked(spec: MessageSpec) -> MessageSpec:
    if spec.raw is not None:
        try:
            read_raw(spec.raw)
        except RawError as error:
            raise MessageError("raw", "", str(error)) from None
        return spec
    if not (spec.text or spec.html):
        raise MessageError("text", "", "a message needs text, html or raw")
    _check_subject(spec.subject)
    for field, text in (("text", spec.text), ("html", spec.html)):
        _check_body(field, text or "")
    if sum(len(name) + len(value) for name, value in spec.headers) > MAX_FIELDS_SUM:
        raise MessageError("headers", "", f"have more than {MAX_FIELDS_SUM} characters together")
    seen: set[str] = set()
    for name, value in spec.headers:
        _check_field(name, value, seen)
    use_of(spec)
    return spec


def _check_subject(subject: str) -> None:
    if not subject.strip():
        raise MessageError("subject", "", "must not be empty")
    if HEADER_CONTROL.search(subject):
        raise MessageError("subject", subject, "no control characters, no line ends")


def _check_body(field: str, text: str) -> None:
    found = BODY_CONTROL.search(text)
    if found:
        raise MessageError(field, text[found.start() :], "no control characters")


def _check_field(name: str, value: str, seen: set[str]) -> None:
    field, lower = f"headers.{_shown(name)}", name.lower()
    free = lower in UNSTRUCTURED or (lower.startswith("x-") and lower not in TOKENS)
    if not _NAME.fullmatch(name) or lower.startswith(RESERVED) or not (free or lower in TOKENS or lower == "reply-to"):
        allowed = ", ".join(sorted(UNSTRUCTURED | TOKENS))
        raise MessageError(field, "", f"may not be set here; allowed are reply-to, {allowed} and x-…")
    if lower in seen:
        raise MessageError(field, "", "is there twice")
    seen.add(lower)
    if HEADER_CONTROL.search(value) or not value.strip():
        raise MessageError(field, value, "must not be empty or have control characters or line ends")
    if lower in TOKENS and not _TOKEN_VALUE.fullmatch(value):
        raise MessageError(field, value, "must be printable ASCII with single spaces")
    if lower == "reply-to":
        _check_mailbox(field, value)


def _check_mailbox(field: str, value: str) -> None:
    try:
        display, address = read_mailbox(value)
        write_mailbox(display, address)
    except ValueError as error:
        raise MessageError(field, value, str(error)) from None
    if address.utf8:
        raise MessageError(field, value, "the address must be ASCII")


def header_templates(spec: MessageSpec) -> list[tuple[str, Template]]:
    """Subject and the fields of free text."""
    free = [(name, cut(value)) for name, value in spec.headers if name.lower() not in TOKENS | {"reply-to"}]
    return [("Subject", cut(spec.subject)), *free]


def use_of(spec: MessageSpec) -> FieldUse:
    """The merge fields of a message, for check_fields(). Raises MessageError."""
    if spec.raw is not None:
        return NO_FIELDS
    field = "headers"
    try:
        headers = [template for _, template in header_templates(spec)]
        field = "text"
        text = cut(spec.text or "")
        field = "html"
        html = cut(spec.html or "")
        field = "message"
        return field_use(headers, (text, html))
    except TemplateError as error:
        raise MessageError(field, "", str(error)) from None


def encode(spec: MessageSpec) -> bytes:
    """Canonical: equal messages give equal octets."""
    if spec.raw is not None:
        return b"R" + spec.raw
    known = {"subject": spec.subject, "text": spec.text, "html": spec.html, "headers": spec.headers}
    return b"T" + json.dumps(known, ensure_ascii=False, separators=(",", ":")).encode()


def decode(octets: bytes) -> MessageSpec:
    """What encode() made. Trusts its input: it comes from our own spool."""
    if octets[:1] == b"R":
        return MessageSpec(raw=octets[1:])
    known = json.loads(octets[1:])
    headers = tuple((name, value) for name, value in known["headers"])
    return MessageSpec(subject=known["subject"], text=known["text"], html=known["html"], headers=headers)
