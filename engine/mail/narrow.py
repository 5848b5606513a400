"""ISO-2022-JP (RFC 1468), for readers whose telephones know nothing else: 7-bit, JIS X 0208, encoded-words of its own.

Every text is encoded on its own and begins and ends in ASCII, line by line, so texts may be joined. The six signs that
Windows and JIS write with different characters (～ and 〜 among them) become the JIS ones, and yen and overline the
wide ones: the escape to JIS X 0201 never occurs. Half-width kana, ①, ㈱ and whatever else JIS X 0208 lacks are refused
with what to write instead; nothing is replaced in silence, but in the total functions for values that accept has
checked.
"""

from __future__ import annotations

import html
import re
import unicodedata
from binascii import b2a_base64

from engine.mail.values import tidy

CHARSET = "iso-2022-jp"
MAX_VALUE_OCTETS = 250
"""Of one line of a merge value in a body: three of them and the text around stay below RFC 5322's 998 on one line."""

_CODEC = "iso2022_jp"
_VARIANTS = str.maketrans("～－∥￠￡￢—¥‾", "〜−‖¢£¬―￥￣")
_THERE_AND_BACK = b"\x1b(B\x1b$B"
_WORD_OCTETS = 30
"""In one encoded-word of 60 characters: `=?iso-2022-jp?b?` and `?=` take 18 of them, 40 are base64."""
_ESCAPE = 3
_NEUTRALISED = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def foreign(text: str) -> str:
    """The first character that cannot be written; empty when all can."""
    text = text.translate(_VARIANTS)
    try:
        text.encode(_CODEC)
    except UnicodeEncodeError as error:
        return text[error.start]
    return ""


def remedy(character: str) -> str:
    """What to write in place of a foreign character."""
    plain = unicodedata.normalize("NFKC", character)
    if plain != character and not foreign(plain):
        return f"{character!r} is not in ISO-2022-JP (JIS X 0208): write {plain!r}, or use charset utf-8"
    return f"{character!r} ({character!a}) is not in ISO-2022-JP (JIS X 0208): write it otherwise, or use charset utf-8"


def encode(text: str) -> bytes:
    """Line ends as given. Total: a foreign character becomes a question mark."""
    return text.translate(_VARIANTS).encode(_CODEC, "replace")


def joined(pieces: list[bytes]) -> bytes:
    """Pieces of encode(), without the escapes there and back between them."""
    return b"".join(pieces).replace(_THERE_AND_BACK, b"")


def plain(value: str) -> bytes:
    """A merge value for text."""
    return encode(tidy(value))


def markup(value: str) -> bytes:
    """A merge value for HTML, elements and quoted attributes alike."""
    return encode(html.escape(tidy(value)))


def misfit(value: str) -> str | None:
    """None, or why a merge value cannot stand in such a message."""
    character = foreign(value)
    if character:
        return remedy(character)
    if max(map(len, markup(value).split(b"\r\n"))) > MAX_VALUE_OCTETS:
        return f"has a line of more than {MAX_VALUE_OCTETS} octets in ISO-2022-JP: shorten it, or use charset utf-8"
    return None


def encoded_words(text: str) -> list[bytes]:
    """RFC 2047 4.1: each of at most 60 characters, whole characters, and back in ASCII at its end."""
    text = _NEUTRALISED.sub(" ", text).translate(_VARIANTS)
    words: list[bytes] = []
    run, size, wide = "", 0, False
    for character in text:
        is_wide = len(character.encode(_CODEC, "replace")) > 1
        # An escape where ASCII and JIS X 0208 meet, and one at the end.
        grown = size + (2 if is_wide else 1) + (_ESCAPE if is_wide is not wide else 0)
        if grown + (_ESCAPE if is_wide else 0) > _WORD_OCTETS:
            words.append(_word(run))
            run, grown = "", 2 + _ESCAPE if is_wide else 1
        run, size, wide = run + character, grown, is_wide
    if run:
        words.append(_word(run))
    return words


def _word(text: str) -> bytes:
    return b"=?iso-2022-jp?b?" + b2a_base64(text.encode(_CODEC, "replace"), newline=False) + b"?="
