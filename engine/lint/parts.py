"""A message's octets taken apart for the check: header fields decoded, the texts that are read, what else is there.

Every alternative of a multipart/alternative is a screen of its own, since a terminal shows either. Texts that follow in
another charset, and attachments, are not the text (施行規則 7条2項). Never raises: what cannot be decoded or is nested
too deep is itself a finding.
"""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message

from engine.lint.screen import Screen, Unseen, html_screen, text_screen
from engine.mail.raw import RawError, read_raw

_CODECS = {
    "utf-8": "utf-8", "us-ascii": "utf-8", "ascii": "utf-8", "iso-2022-jp": "iso2022_jp_ext", "shift_jis": "cp932",
    "shift-jis": "cp932", "cp932": "cp932", "windows-31j": "cp932", "euc-jp": "euc_jp", "iso-8859-1": "latin-1",
    "windows-1252": "cp1252",
}  # fmt: skip
"""Those that mails are written in; some of Python's others take a time that is no longer linear."""
_MOST_PARTS = 500


@dataclass(slots=True)
class Sample:
    """What is looked at."""

    header: list[tuple[str, str]] = field(default_factory=list)
    """Names in lower case, values decoded."""
    header_octets: int = 0
    octets: int = 0
    longest_line: int = 0
    screens: list[Screen] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """Parts that cannot be read, in English."""

    def values(self, name: str) -> list[str]:
        return [value for known, value in self.header if known == name]

    def value(self, name: str) -> str:
        return next(iter(self.values(name)), "")


def take_apart(octets: bytes) -> Sample:
    found = Sample(octets=len(octets), longest_line=max(map(len, octets.split(b"\r\n"))))
    found.header_octets = max(0, octets.find(b"\r\n\r\n"))
    try:
        found.header = [(entry.lower, _value(entry.value)) for entry in read_raw(octets).fields]
        parsed = email.message_from_bytes(octets, policy=email.policy.compat32)
        _sort(found, list(_texts(parsed)))
    except RawError as error:
        found.faults.append(str(error))
    except (RecursionError, LookupError, TypeError, ValueError) as error:
        # The standard library's parser gives up: on parts that are nested too deep, on parameters that are none.
        found.faults.append(f"its parts cannot be taken apart ({type(error).__name__})")
    return found


def _sort(found: Sample, texts: list[tuple[Message, bool]]) -> None:
    plain, markup, elsewhere = [], [], []
    for part, in_text in texts:
        if not in_text:
            elsewhere.append(part)
        elif part.get_content_subtype() == "html":
            markup.append(part)
        else:
            plain.append(part)
    for kind, parts in (("text", plain), ("html", markup)):
        _show(found, kind, parts, elsewhere)


def _show(found: Sample, kind: str, parts: list[Message], elsewhere: list[Message]) -> None:
    if not parts:
        return
    charset = _charset(parts[0])
    same = [part for part in parts if _charset(part) == charset]
    texts = [_decoded(part) for part in same]
    if charset not in _CODECS or None in texts:
        found.faults.append(f"the {kind} part's charset {charset[:40]!a} is not one that can be read")
        return
    whole = "\n".join(text for text in texts if text is not None)
    screen = html_screen(whole, charset) if kind == "html" else text_screen(whole, charset)
    for part in [part for part in parts if part not in same] + elsewhere:
        text = _decoded(part)
        if text:
            screen.unseen.append(Unseen(text, f"a part of its own in {_charset(part)[:40]}", "D05", 0))
    found.screens.append(screen)


def _texts(parsed: Message) -> Iterator[tuple[Message, bool]]:
    """Parts of text, and whether they are the mail's own text (no attachment)."""
    for number, part in enumerate(parsed.walk()):
        if number == _MOST_PARTS:
            return
        if part.get_content_maintype() == "text" and not part.is_multipart():
            yield part, str(part.get("content-disposition", "")).strip()[:10].lower() != "attachment"


def _charset(part: Message) -> str:
    given = part.get_param("charset", "us-ascii")
    text = given[2] if isinstance(given, tuple) else str(given)
    return text.strip().strip("\"'").lower()


def _decoded(part: Message) -> str | None:
    codec = _CODECS.get(_charset(part))
    octets = part.get_payload(decode=True)
    if codec is None or not isinstance(octets, bytes):
        return None
    try:
        text = octets.decode(codec)
    except ValueError:
        return None
    return text.replace("\r\n", "\n")


def _value(raw: bytes) -> str:
    """Unfolded, encoded-words decoded."""
    text = raw.replace(b"\r\n", b"").decode("utf-8", "replace").strip()
    if "=?" not in text:
        return text
    try:
        pieces = decode_header(text)
    except (HeaderParseError, ValueError):
        return text
    return "".join(_piece(piece, charset) for piece, charset in pieces)


def _piece(piece: bytes | str, charset: str | None) -> str:
    if isinstance(piece, str):
        return piece
    return piece.decode(_CODECS.get((charset or "us-ascii").lower(), "utf-8"), "replace")
