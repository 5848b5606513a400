"""Merge fields: where they stand in a template, which a message uses, which values a recipient may bring.

`{{name}}` takes the recipient's value; `%cancelurl%` (as MyASP users write it) takes the recipient's own opt-out link.
A template is cut into literal texts and slots once. Names are exact: a field that the message does not use is refused
as much as one that is missing, because both are most often one typing error. Values with control characters are
refused where they would stand in a header field; in the body only line breaks and tabs pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from engine.mail.narrow import misfit

MAX_SLOTS = 500
"""Per message; with MAX_VALUE it bounds what one recipient can make of a template."""
MAX_VALUE = 8192
"""Characters of one value in a body."""
MAX_HEADER_VALUE = 300
"""Characters of one value in a header field: SoftBank takes 12 KB of header in all."""

CANCEL_URL = "%cancelurl%"
"""The slot's name; no merge field can have it."""

# Three braces mean "unescaped" in Mustache; here nothing goes unescaped.
_SLOT = re.compile(r"(?<!\{)\{\{\s*([\w.-]{1,64})\s*\}\}|(%cancelurl%)")
HEADER_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
BODY_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class TemplateError(ValueError):
    """A template that cannot be cut; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Slot:
    name: str


Template = tuple[str | Slot, ...]


@dataclass(frozen=True, slots=True)
class FieldUse:
    """What a message asks of its recipients."""

    names: frozenset[str]
    in_headers: frozenset[str]
    narrow: bool = False
    """The message is ISO-2022-JP, and so must every value be."""


NO_FIELDS = FieldUse(frozenset(), frozenset())


def cut(text: str) -> Template:
    """Literals and slots in turn, without empty literals. Raises TemplateError for `{{` that opens no field."""
    parts: list[str | Slot] = []
    at = 0
    for match in _SLOT.finditer(text):
        _literal(parts, text[at : match.start()])
        parts.append(Slot(match[1] or CANCEL_URL))
        at = match.end()
    _literal(parts, text[at:])
    return tuple(parts)


def _literal(parts: list[str | Slot], text: str) -> None:
    stray = text.find("{{")
    if stray >= 0:
        raise TemplateError(
            f"{text[stray : stray + 40]!r} is not a merge field: write {{{{name}}}}, the name of letters, digits, . _ -"
        )
    if text:
        parts.append(text)


def slot_names(template: Template) -> list[str]:
    return [part.name for part in template if isinstance(part, Slot)]


def field_use(headers: Iterable[Template], bodies: Iterable[Template], *, narrow: bool = False) -> FieldUse:
    """Raises TemplateError when there are too many slots or a link stands in a header field."""
    in_headers = [name for template in headers for name in slot_names(template)]
    in_bodies = [name for template in bodies for name in slot_names(template)]
    if CANCEL_URL in in_headers:
        raise TemplateError(f"{CANCEL_URL} may stand in the text and in the HTML only")
    if len(in_headers) + len(in_bodies) > MAX_SLOTS:
        raise TemplateError(f"more than {MAX_SLOTS} merge fields in one message")
    return FieldUse(frozenset((*in_headers, *in_bodies)) - {CANCEL_URL}, frozenset(in_headers), narrow)


def check_fields(use: FieldUse, fields: Mapping[str, str]) -> str | None:
    """None, or why this recipient is refused, the field named. Well under a microsecond when nothing is wrong."""
    if fields.keys() != use.names:
        return _wrong_names(use.names, fields)
    for name, value in fields.items():
        if not value.isprintable() or len(value) > MAX_HEADER_VALUE:
            error = _wrong_value(name, value, in_header=name in use.in_headers)
            if error is not None:
                return error
    return _wrong_charset(fields) if use.narrow else None


def _wrong_charset(fields: Mapping[str, str]) -> str | None:
    for name, value in fields.items():
        error = misfit(value)
        if error is not None:
            return f"merge field {name!r}, value {value[:80]!a}: {error}"
    return None


def _wrong_names(names: frozenset[str], fields: Mapping[str, str]) -> str:
    missing = sorted(names - fields.keys())
    if missing:
        return f"merge field {missing[0]!r} is missing: the message uses it"
    unknown = min(fields.keys() - names)
    used = ", ".join(map(repr, sorted(names))) or "none"
    return f"merge field {unknown[:80]!r} is unknown: the message uses {used[:400]}"


def _wrong_value(name: str, value: str, *, in_header: bool) -> str | None:
    limit = MAX_HEADER_VALUE if in_header else MAX_VALUE
    if len(value) > limit:
        return f"merge field {name!r} has {len(value)} characters: at most {limit} may stand there"
    found = (HEADER_CONTROL if in_header else BODY_CONTROL).search(value)
    if found is None:
        return None
    place = "a header field" if in_header else "a message"
    return f"merge field {name!r} has {found[0]!a} in {value[:80]!a}: no control characters in {place}"
