"""What the bytes of a form are: a page, a mail or a text that people can read again, a PDF, a picture.

It is evidence for years: what nobody can open then proves nothing, and a file given by mistake (the word processor's,
an archive, a program, an export in an encoding that it does not name) is refused while it can still be put right.
"""

from __future__ import annotations

import re
from typing import Final

_PICTURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
)
_OTHERS: Final = (
    (b"PK\x03\x04", "a ZIP archive, or a document of a word processor"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a document of an old word processor"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"SQLite format 3\x00", "a database"),
)
_HEAD: Final = 4096
_END_OF_PDF: Final = 2048
_DECLARED: Final = re.compile(
    rb"charset\s{0,9}=\s{0,9}[\"']?([A-Za-z0-9._:-]{1,40})|<\?xml[^>]{0,200}encoding\s{0,9}=\s{0,9}[\"']([A-Za-z0-9._:-]{1,40})"
)
_MARKUP: Final = re.compile(
    r"\s{0,999}(?:<!--.{0,999}?-->\s{0,999})?"
    r"<(?:!doctype html|html|head|body|h[1-6]|p|div|form|table|meta|title|\?xml)\b",
    re.IGNORECASE | re.DOTALL,
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")
"""But tab, line ends, form feed, and the ESC of ISO-2022-JP."""


def kind_of(content: bytes) -> str:
    """HTML, text, PDF or a picture's format. Raises ValueError with what it is instead, or lacks, and the remedy."""
    for magic, kind in _PICTURES:
        if content.startswith(magic):
            return kind
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WebP"
    if content.startswith(b"%PDF-"):
        if b"%%EOF" not in content[-_END_OF_PDF:]:
            raise ValueError("begins as a PDF and does not end as one; export it again")
        return "PDF"
    for magic, kind in _OTHERS:
        if content.startswith(magic):
            raise ValueError(f"is {kind}; store what people saw, as HTML, text, PDF or a picture")
    text = _text(content)
    if not text.strip():
        raise ValueError("has no text; store what people saw")
    found = _CONTROL.search(text)
    if found is not None:
        raise ValueError(f"has {found[0]!a} in it and is no text; store HTML, text, PDF or a picture")
    return "HTML" if _MARKUP.match(text) else "text"


def _text(content: bytes) -> str:
    """By its own word, else UTF-8."""
    declared = _DECLARED.search(content[:_HEAD])
    charset = (declared[1] or declared[2]).decode("ascii") if declared else ""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if not charset:
            text = (
                f"is not UTF-8 (octet {error.start}) and declares no charset; convert it, or declare one in its <meta>"
            )
            raise ValueError(text) from None
    try:
        return content.decode(charset)
    except LookupError:
        raise ValueError(f"declares the charset {charset!a}, which nobody knows; correct it") from None
    except (UnicodeDecodeError, UnicodeError) as error:
        raise ValueError(f"declares the charset {charset!a} and is not in it: {ascii(str(error))[1:81]}") from None
