"""What a form may be: what people can open again in years, told by its bytes and not by its name."""

from __future__ import annotations

import pytest

from suppression.shown import kind_of

PDF = b"%PDF-1.7\n1 0 obj\n" + b"x" * 3000 + b"\nstartxref\n9\n%%EOF\n"
PAGE = "<!DOCTYPE html><html><head><meta charset={0}></head><body>広告宣伝メールを受け取る</body></html>"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"<h1>x</h1>", "HTML"),
        (b"\xef\xbb\xbf\r\n <!-- head --> <!doctype HTML><p>x", "HTML"),
        ("広告宣伝メールを受け取ります\n".encode(), "text"),
        (b"a < b, and no markup", "text"),
        (PAGE.format("utf-8").encode(), "HTML"),
        (PAGE.format("utf-16").encode(), "HTML"),
        (PAGE.format("Shift_JIS").encode("cp932"), "HTML"),
        (PAGE.format('"EUC-JP"').encode("euc-jp"), "HTML"),
        ('<?xml version="1.0" encoding="Shift_JIS"?><html>承諾</html>'.encode("cp932"), "HTML"),
        (b"Content-Type: text/plain; charset=ISO-2022-JP\r\n\r\n" + "広告".encode("iso-2022-jp"), "text"),
        ("Content-Type: text/plain; charset=euc-jp\n\n広告".encode("euc-jp"), "text"),
        (PDF, "PDF"),
        (b"\x89PNG\r\n\x1a\n\0\0", "PNG"),
        (b"\xff\xd8\xff\xe0\0", "JPEG"),
        (b"GIF89a\1\0", "GIF"),
        (b"II*\0\1", "TIFF"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "WebP"),
    ],
)
def test_what_people_saw(content, kind) -> None:
    assert kind_of(content) == kind


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"PK\x03\x04\x14\0", "is a ZIP archive, or a document of a word processor; store what people saw"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old word processor"),
        (b"\x7fELF\2", "is a program"),
        (b"SQLite format 3\0", "is a database"),
        (PDF[:-3000], "begins as a PDF and does not end as one"),
        (b"RIFF\0\0\0\0WAVE", "has '\\x00' in it and is no text"),
        (b"text\x07", "has '\\x07' in it"),
        ("広告".encode("cp932"), "is not UTF-8 (octet 0) and declares no charset; convert it"),
        (b"\xff\xfea\0b\0", "is not UTF-8"),
        (PAGE.format("klingon").encode("cp932"), "declares the charset 'klingon', which nobody knows"),
        (PAGE.format("euc-jp").encode("cp932"), "declares the charset 'euc-jp' and is not in it"),
        (PAGE.format("idna").encode("cp932"), "'idna' and is not in it"),
        (b" \r\n\t", "has no text"),
        (b"\xef\xbb\xbf", "has no text"),
    ],
)
def test_what_would_prove_nothing(content, why) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        kind_of(content)
    assert why in str(refused.value), refused.value
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("charset", ["base64", "hex", "rot13", "zlib"])
def test_a_codec_that_is_no_charset_is_none(charset) -> None:
    with pytest.raises(ValueError, match="nobody knows"):
        kind_of(PAGE.format(charset).encode("cp932"))


def test_the_largest_form_takes_no_time() -> None:
    kind_of(b"<!--" + b" " * ((1 << 20) - 4))
    kind_of(b"<meta charset" + b"= " * 500_000)
