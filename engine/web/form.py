"""What a POST asks for. RFC 8058 3.1: `List-Unsubscribe=One-Click` as a URL-encoded form or as multipart/form-data; the
page's own buttons send `scope`. Anything else asks for nothing, and then nothing is changed.

Mailbox providers post by the million and lose no event for a stray charset or a missing Content-Type: where the type
says nothing, the URL-encoded reading is tried. Pure.
"""

from __future__ import annotations

import email.parser
import email.policy
from enum import StrEnum
from itertools import islice
from urllib.parse import parse_qsl

MOST_FIELDS = 32
FORM_LIMIT = 16 * 1024
"""Octets of a body. The longest honest one has some two hundred."""


class Wanted(StrEnum):
    ONE_CLICK = "one-click"
    TOPIC = "topic"
    ALL = "all"
    CONFIRM = "confirm"
    NOTHING = "nothing"


def wanted(content_type: str, body: bytes) -> Wanted:
    kind = content_type.partition(";")[0].strip().lower()
    fields = _multipart(content_type, body) if kind == "multipart/form-data" else _encoded(body)
    if any(name.lower() == "list-unsubscribe" and value.strip().lower() == "one-click" for name, value in fields):
        return Wanted.ONE_CLICK
    scopes = {value for name, value in fields if name == "scope"}
    known = scopes & {Wanted.TOPIC, Wanted.ALL, Wanted.CONFIRM}
    return Wanted(known.pop()) if len(scopes) == 1 and known else Wanted.NOTHING


def _encoded(body: bytes) -> list[tuple[str, str]]:
    try:
        text = body.decode("ascii").strip()
        return parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:  # not ASCII, too many fields, or percent-encoded bytes that are no UTF-8
        return []


def _multipart(content_type: str, body: bytes) -> list[tuple[str, str]]:
    head = f"Content-Type: {' '.join(content_type.split())}\r\n\r\n".encode("utf-8", "replace")
    message = email.parser.BytesParser(policy=email.policy.compat32).parsebytes(head + body)
    fields: list[tuple[str, str]] = []
    for part in islice(message.walk(), MOST_FIELDS):
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            fields.append((name, payload.decode("utf-8", "replace")))
    return fields
