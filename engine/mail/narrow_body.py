"""Bodies in ISO-2022-JP (RFC 1468): 7bit where every line stays short enough, else base64 of the same octets.

Rendered per recipient as a whole: transparency and canonical form of 7-bit text depend on the values. That costs some
three times what a UTF-8 body costs, which is why that one has a way of its own (body.py, transfer.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from engine.mail import narrow
from engine.mail.body import Body, FixedBody
from engine.mail.dkim import body_hash, relaxed_body
from engine.mail.slots import CANCEL_URL, Slot, Template
from engine.mail.transfer import base64_lines, end_in_newline
from engine.smtp.command import transparency

_LONGEST_LINE = 990
"""RFC 5322 2.1.1 allows 998 octets, and so do docomo's servers to the octet."""
_LINK_OCTETS = 700

Prepare = Callable[[str], bytes]


class NarrowPart:
    """One text, its literals encoded. Encoded as a whole for each recipient."""

    __slots__ = ("_pieces", "_prepare", "encoding", "is_fixed")

    def __init__(self, template: Template, *, markup: bool) -> None:
        template = end_in_newline(template)
        self.encoding = "7bit" if _fits(template) else "base64"
        self.is_fixed = all(isinstance(part, str) for part in template)
        self._prepare: Prepare = narrow.markup if markup else narrow.plain
        self._pieces: list[bytes | Slot] = [
            part if isinstance(part, Slot) else narrow.encode(part.replace("\n", "\r\n")) for part in template
        ]

    def octets(self, fields: Mapping[str, str], cancel_url: str) -> bytes:
        prepare = self._prepare
        text = narrow.joined(
            [
                piece
                if isinstance(piece, bytes)
                else prepare(cancel_url if piece.name == CANCEL_URL else fields[piece.name])
                for piece in self._pieces
            ]
        )
        return text if self.encoding == "7bit" else base64_lines(text)


def _fits(template: Template) -> bool:
    """Every line, with the longest values that accept lets through."""
    longest = "".join(part if isinstance(part, str) else "x" * _room(part) for part in template)
    return max(map(len, narrow.encode(longest).split(b"\n"))) <= _LONGEST_LINE


def _room(slot: Slot) -> int:
    return _LINK_OCTETS if slot.name == CANCEL_URL else narrow.MAX_VALUE_OCTETS


def narrow_body(statics: Sequence[bytes], parts: Sequence[NarrowPart], boundary: str) -> Body:
    """`statics` stand before, between and behind the parts."""
    body = NarrowBody(statics, parts, boundary)
    return FixedBody(body.octets({}, "")) if all(part.is_fixed for part in parts) else body


class NarrowBody:
    """Implements body.Body."""

    __slots__ = ("_delimiter", "_parts", "_statics")

    def __init__(self, statics: Sequence[bytes], parts: Sequence[NarrowPart], boundary: str) -> None:
        self._statics = statics
        self._parts = parts
        self._delimiter = f"--{boundary}".encode("ascii")

    def octets(self, fields: Mapping[str, str], cancel_url: str) -> bytes:
        pieces = [self._statics[0]]
        for part, behind in zip(self._parts, self._statics[1:], strict=True):
            # The boundary can be worked out by who knows the template: a value must not end a part.
            pieces += (part.octets(fields, cancel_url).replace(self._delimiter, b"--"), behind)
        return b"".join(pieces)

    def render(self, fields: Mapping[str, str], cancel_url: str) -> tuple[bytes, bytes, bytes]:
        body = self.octets(fields, cancel_url)
        return transparency(body), b"", body_hash(relaxed_body(body))
