"""The MIME frame around encoded parts (RFC 2045, 2046), built by the standard library when a message is compiled.

One part stands alone; text and HTML together are multipart/alternative, the HTML last because it is the better one
(RFC 2046 5.1.4). The boundary contains `=_`, which neither base64 nor quoted-printable can, and 7bit parts that do are
encoded: no content can end a part.
"""

from __future__ import annotations

from collections.abc import Sequence
from email.message import EmailMessage, MIMEPart
from email.policy import SMTP

from engine.mail.transfer import Encoded

_CONTENT = "=_content_=\r\n"


def frame(parts: Sequence[tuple[str, Encoded]], boundary: str, charset: str = "utf-8") -> tuple[bytes, list[bytes]]:
    """The MIME fields of the header; and the octets before, between and behind the parts, each of which ends in CRLF.
    `parts` are subtypes of text with their contents.
    """
    root = EmailMessage(policy=SMTP)
    root["MIME-Version"] = "1.0"
    if len(parts) == 1:
        _describe(root, *parts[0], charset)
    else:
        root["Content-Type"] = f'multipart/alternative; boundary="{boundary}"'
        for subtype, part in parts:
            leaf: EmailMessage = MIMEPart(policy=SMTP)  # type: ignore[assignment]  # typeshed wants the wrong one
            _describe(leaf, subtype, part, charset)
            root.attach(leaf)
    header, _, body = root.as_bytes().partition(b"\r\n\r\n")
    first, *others = body.split(_CONTENT.encode("ascii"))
    # The CRLF before a boundary belongs to it (RFC 2046 5.1.1): here it is the one that ends the part.
    return header + b"\r\n", [first, *(octets.removeprefix(b"\r\n") for octets in others)]


def _describe(leaf: MIMEPart, subtype: str, part: Encoded, charset: str) -> None:
    leaf["Content-Type"] = f'text/{subtype}; charset="{charset}"'
    leaf["Content-Transfer-Encoding"] = part.encoding
    leaf.set_payload(_CONTENT)
