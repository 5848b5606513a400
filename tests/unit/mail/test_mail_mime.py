"""The MIME frame of one part and of two."""

import email
import email.policy

from engine.mail.mime import frame
from engine.mail.transfer import FixedPart


def test_one_part() -> None:
    fields, statics = frame([("html", FixedPart("7bit", b"x\r\n"))], "=_b")
    assert statics == [b"", b""]
    parsed = email.message_from_bytes(fields + b"\r\nx\r\n", policy=email.policy.default)
    assert parsed.get_content_type() == "text/html"
    assert parsed["MIME-Version"] == "1.0"
    assert parsed["Content-Transfer-Encoding"] == "7bit"


def test_two_parts() -> None:
    parts = [("plain", FixedPart("7bit", b"text\r\n")), ("html", FixedPart("base64", b"PGI+\r\n"))]
    fields, (before, between, behind) = frame(parts, "=_b")
    body = before + b"text\r\n" + between + b"PGI+\r\n" + behind
    parsed = email.message_from_bytes(fields + b"\r\n" + body, policy=email.policy.default)
    assert parsed.get_content_type() == "multipart/alternative"
    assert [part.get_content() for part in parsed.iter_parts()] == ["text", "<b>"]
    assert not parsed.defects
    assert before.startswith(b"--=_b\r\n")
    assert behind == b"--=_b--\r\n"
