"""MIME as strangers write it (RFC 2045 to 2047): bytes in, parts with decoded text out. Nothing raises.

Bounded in bytes, depth, parts and fields, and linear in each of them; what is beyond the bounds is not read. Own code
and not the standard library's, whose parser keeps all boundaries of all levels at hand for each line and recurses as
deep as the message says. Broken messages are read as far as they go: a boundary that never ends, a header without a
body, a charset that does not exist, a part whose fields begin without the empty line.
"""

from __future__ import annotations

import binascii
import codecs
import quopri
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_BYTES: Final = 262_144
MAX_DEPTH: Final = 8
MAX_PARTS: Final = 64
MAX_FIELDS: Final = 400
MAX_VALUE: Final = 4_000
"""Characters of a field that are kept."""

_FIELD: Final = re.compile(rb"([!-9;-~]{1,80})[ \t]*:(.*)", re.DOTALL)
_WORD: Final = re.compile(
    r"=\?([A-Za-z0-9_.:+-]{1,40})(?:\*[A-Za-z0-9-]{1,20})?\?([BbQq])\?([^? ]{0,2000})\?=(\s+(?==\?))?"
)
_BOUNDARY: Final = re.compile(r"boundary\s*=\s*(?:\"([^\"]{1,200})\"|([^;\s\"]{1,200}))", re.IGNORECASE)
_CHARSET: Final = re.compile(r"charset\s*=\s*\"?([A-Za-z0-9_.:+-]{1,40})", re.IGNORECASE)
_REPORT: Final = re.compile(r"report-type\s*=\s*\"?([A-Za-z0-9-]{1,40})", re.IGNORECASE)

_ALIASES: Final = {
    "iso-2022-jp": "iso2022_jp_ext",
    "iso-2022-jp-2": "iso2022_jp_2",
    "iso-2022-jp-ms": "iso2022_jp_ext",
    "cp50220": "iso2022_jp_ext",
    "cp50221": "iso2022_jp_ext",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "x-sjis": "cp932",
    "sjis": "cp932",
    "windows-31j": "cp932",
    "x-euc-jp": "euc_jp",
    "unicode-1-1-utf-7": "utf_7",
    "x-unknown": "latin_1",
    "ks_c_5601-1987": "cp949",
}
_CHARSETS: Final = re.compile(
    r"utf[-_]?(?:7|8|16|16-?[bl]e)|(?:us-)?ascii|latin[-_]?1|iso[-_]?8859[-_]\d{1,2}|iso[-_]?2022[-_](?:jp|kr)\w{0,6}"
    r"|(?:windows-|cp)\d{3,4}|koi8[-_][ru]|euc[-_](?:jp|kr)|gb(?:2312|k|18030)|big5|tis-620"
)
"""Python knows more codecs than mail has charsets; some of them are not text, and some are slow on purpose."""


@dataclass(frozen=True, slots=True)
class Fields:
    """A header: names in lower case, values unfolded and decoded, in their order."""

    pairs: tuple[tuple[str, str], ...] = ()

    def first(self, *names: str) -> str:
        """Of the first of these names that is there; empty when none is."""
        for name in names:
            for known, value in self.pairs:
                if known == name:
                    return value
        return ""

    def every(self, *names: str) -> list[str]:
        return [value for name, value in self.pairs if name in names]

    def names(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.pairs)


@dataclass(frozen=True, slots=True)
class Part:
    fields: Fields
    kind: str
    """Media type, lower case."""
    text: str
    """Decoded; of a container the empty text."""
    depth: int
    """How many returned messages stand around it."""


@dataclass(frozen=True, slots=True)
class Mail:
    fields: Fields
    report_type: str
    parts: tuple[Part, ...]
    is_cut: bool


def read_mail(raw: bytes) -> Mail:
    """At most MAX_BYTES of it are read."""
    fields, body = split_message(raw[:MAX_BYTES].replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
    parts: list[Part] = []
    _collect(fields, body, 0, 0, parts)
    report = _REPORT.search(fields.first("content-type"))
    return Mail(fields, report[1].lower() if report else "", tuple(parts), len(raw) > MAX_BYTES)


def split_message(raw: bytes) -> tuple[Fields, bytes]:
    """Header and body of text with LF line ends. An mbox line in front is dropped; the first line that is no field
    ends the header, with or without an empty line.
    """
    at = raw.find(b"\n") + 1 if raw.startswith((b"From ", b">From ")) else 0
    pairs: list[tuple[str, str]] = []
    lines: list[bytes] = []
    while at < len(raw):
        end = raw.find(b"\n", at)
        end = len(raw) if end < 0 else end
        line = raw[at:end]
        if line[:1] in (b" ", b"\t") and line.strip() and lines:
            lines.append(line)
        elif not line.strip():
            at = end + 1
            break
        elif lines and lines[-1].rstrip().endswith(b";") and b"=" in line and not _FIELD.fullmatch(line):
            lines.append(b" " + line)  # folded without the white space that makes it so
        elif _FIELD.fullmatch(line):
            _keep(lines, pairs)
            lines = [line]
        else:
            break
        at = end + 1
    _keep(lines, pairs)
    return Fields(tuple(pairs)), raw[at:]


def _keep(lines: list[bytes], pairs: list[tuple[str, str]]) -> None:
    if lines and len(pairs) < MAX_FIELDS and (match := _FIELD.fullmatch(b"".join(lines)[: 2 * MAX_VALUE])):
        pairs.append((match[1].decode("ascii").lower(), decode_words(decode(match[2], "")).strip()[:MAX_VALUE]))


def _collect(fields: Fields, body: bytes, depth: int, level: int, parts: list[Part]) -> None:
    if len(parts) >= MAX_PARTS or level > MAX_DEPTH:
        return
    declared = fields.first("content-type")
    kind = declared.partition(";")[0].strip().lower()
    boundary = _BOUNDARY.search(declared)
    if boundary and kind.startswith("multipart/"):
        parts.append(Part(fields, kind, "", depth))
        for piece in _pieces(body, (boundary[1] or boundary[2]).rstrip().encode("ascii", "replace")):
            inner, rest = (
                split_message(piece[1:] if piece.startswith(b"\n") else piece) if piece.strip() else (Fields(), b"")
            )
            if piece.startswith(b"\n"):  # no fields of its own (RFC 2046 5.1): text
                inner, rest = Fields(), piece
            _collect(inner, rest, depth, level + 1, parts)
        return
    octets = _transfer_decoded(body, fields.first("content-transfer-encoding").lower())
    if kind in {"message/rfc822", "message/global", "message/partial"}:
        parts.append(Part(fields, kind, "", depth))
        inner, rest = split_message(octets.lstrip(b"\n"))
        _collect(inner, rest, depth + 1, level + 1, parts)
        return
    charset = _CHARSET.search(declared)
    if not kind or kind.startswith("multipart/"):
        kind = "text/plain"
    parts.append(Part(fields, kind, decode(octets, charset[1] if charset else ""), depth))


def _pieces(body: bytes, boundary: bytes) -> Iterator[bytes]:
    """What stands between the delimiter lines; the preamble too when there is no delimiter at all."""
    found = list(re.finditer(rb"^--" + re.escape(boundary) + rb"(--)?[ \t]*(?:\n|\Z)", body, re.MULTILINE))
    if not found:
        yield b"\n" + body
        return
    ends = [match.start() for match in found[1:]] + [len(body)]
    for match, end in zip(found[:MAX_PARTS], ends, strict=False):
        if match[1]:
            return
        yield body[match.end() : end]


def _transfer_decoded(body: bytes, encoding: str) -> bytes:
    if "quoted-printable" in encoding:
        return quopri.decodestring(body)
    if "base64" in encoding:
        letters = re.sub(rb"[^A-Za-z0-9+/]", b"", body)
        try:
            return binascii.a2b_base64(letters[: len(letters) // 4 * 4 + 3] + b"===")
        except binascii.Error:
            return binascii.a2b_base64(letters[: len(letters) // 4 * 4])
    return body


def decode(raw: bytes, charset: str) -> str:
    """By the charset if there is such a one, else as what it looks like. Replaces what cannot be."""
    declared = charset.lower()
    name = _ALIASES.get(declared, declared)
    is_plain = name in {"", "us-ascii", "ascii"}
    if b"\x1b$" in raw or b"\x1b(J" in raw:
        # 7-bit Japanese says itself what it is, also where the header says otherwise.
        return raw.decode("iso2022_jp_ext", "replace")
    if not is_plain and (_CHARSETS.fullmatch(name) or declared in _ALIASES):
        try:
            text = raw.decode(codecs.lookup(name).name, "replace")
            return text.encode("utf-8", "replace").decode()  # UTF-7 may hold lone surrogates, which no disk takes
        except (LookupError, UnicodeError):
            pass
    for guess in ("utf-8", "cp932"):
        try:
            return raw.decode(guess)
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1")


def decode_words(text: str) -> str:
    """Encoded words (RFC 2047); white space between two of them goes."""
    return _WORD.sub(_word, text) if "=?" in text else text


def _word(match: re.Match[str]) -> str:
    raw = match[3].encode("ascii", "replace")
    if match[2] in "Bb":
        return decode(_transfer_decoded(raw, "base64"), match[1])
    return decode(quopri.decodestring(raw, header=True), match[1])
