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
from dataclasses import dataclass, replace

from engine.mail import narrow
from engine.mail.footer import FOOTER
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
_KNOWN = frozenset({"subject", "text", "html", "headers", "charset", "without_ad", "raw"})
_VARIANT = frozenset({"subject", "text", "html"})
CHARSETS = ("utf-8", narrow.CHARSET)


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
    charset: str = "utf-8"
    without_ad: MessageSpec | None = None
    """What goes to those who may get everything but the advertisement; header fields and charset are the same."""

    @property
    def is_narrow(self) -> bool:
        return self.charset == narrow.CHARSET


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
            charset=_charset(given.get("charset")),
        )
        if given.get("without_ad") is not None:
            spec = replace(spec, without_ad=_variant(given["without_ad"], spec))
    elif not isinstance(raw, bytes):
        raise MessageError("raw", "", "must be binary")
    elif len(given) > 1:
        raise MessageError("raw", "", "a raw message has nothing beside it")
    else:
        spec = MessageSpec(raw=raw)
    return _checked(spec)


def _charset(given: object) -> str:
    if given is None:
        return CHARSETS[0]
    if not isinstance(given, str) or given.lower() not in CHARSETS:
        raise MessageError("charset", str(given), f"must be one of {', '.join(CHARSETS)}")
    return given.lower()


def _variant(given: object, main: MessageSpec) -> MessageSpec:
    """Validated like the message itself; without a subject it has the message's."""
    if not isinstance(given, dict):
        raise MessageError("without_ad", "", "must be a map of subject, text and html")
    unknown = [name for name in given if name not in _VARIANT]
    if unknown:
        raise MessageError(f"without_ad.{_shown(unknown[0])}", "", f"unknown; it has {', '.join(sorted(_VARIANT))}")
    try:
        subject = _text(given, "subject", MAX_SUBJECT)
        text, html = _text(given, "text", MAX_PART), _text(given, "html", MAX_PART)
        return _checked(replace(main, subject=main.subject if subject is None else subject, text=text, html=html))
    except MessageError as error:
        raise MessageError(f"without_ad.{error.field}", error.value, error.text) from None


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
    for field, value in _written(spec):
        if FOOTER in value and field not in ("text", "html"):
            raise MessageError(field, value, f"{FOOTER} may stand in the text and in the HTML only")
        if spec.is_narrow and (character := narrow.foreign(value)):
            raise MessageError(field, "", narrow.remedy(character))
    use_of(spec)
    return spec


def _written(spec: MessageSpec) -> Iterator[tuple[str, str]]:
    """Everything that readers may see, by field."""
    yield from (("subject", spec.subject), ("text", spec.text or ""), ("html", spec.html or ""))
    yield from ((f"headers.{name}", value) for name, value in spec.headers)


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
        use = field_use(headers, (text, html), narrow=spec.is_narrow)
    except TemplateError as error:
        raise MessageError(field, "", str(error)) from None
    if spec.without_ad is None:
        return use
    other = use_of(spec.without_ad)
    return replace(use, names=use.names | other.names, in_headers=use.in_headers | other.in_headers)


def encode(spec: MessageSpec) -> bytes:
    """Canonical: equal messages give equal octets. What was not given leaves no trace: digests outlive releases."""
    if spec.raw is not None:
        return b"R" + spec.raw
    known: dict[str, object] = {"subject": spec.subject, "text": spec.text, "html": spec.html, "headers": spec.headers}
    if spec.is_narrow:
        known["charset"] = spec.charset
    if spec.without_ad:
        other = spec.without_ad
        known["without_ad"] = {"subject": other.subject, "text": other.text, "html": other.html}
    return b"T" + json.dumps(known, ensure_ascii=False, separators=(",", ":")).encode()


def decode(octets: bytes) -> MessageSpec:
    """What encode() made. Trusts its input: it comes from our own spool."""
    if octets[:1] == b"R":
        return MessageSpec(raw=octets[1:])
    known = json.loads(octets[1:])
    headers = tuple((name, value) for name, value in known["headers"])
    charset = known.get("charset", "utf-8")
    main = MessageSpec(known["subject"], known["text"], known["html"], headers, charset=charset)
    return replace(main, without_ad=replace(main, **known["without_ad"])) if "without_ad" in known else main
