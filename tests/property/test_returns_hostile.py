"""Whatever comes back: nothing raises, everything is bounded, nothing is found that no disk takes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.returns import Returned, read_returned
from engine.returns.mime import MAX_BYTES
from tests.unit.returns.returned_samples import ARF, EXIM, EZWEB, POSTFIX, QMAIL, READER, VACATION

SAMPLES = [ARF.encode(), EXIM.encode(), EZWEB, POSTFIX.encode(), QMAIL.encode(), VACATION.encode()]
PIECES = st.sampled_from(
    [
        b"", b"\n", b"\r", b"\r\n\r\n", b"\0", b"\xff", b"--b\n", b"--b--\n", b"=?iso-2022-jp?B?GyRC?=", b"\x1b$B",
        b"Content-Type: message/rfc822\n\n", b'Content-Type: multipart/mixed; boundary="b"\n', b"charset=utf-7; +2AA-",
        b"Content-Transfer-Encoding: base64\n", b"<neko@example.jp>: 550 ", b"Final-Recipient: ", b"{" * 40, b"a@" * 40,
    ]
)  # fmt: skip


def bounded(raw: bytes, returned: Returned) -> None:
    assert 1 <= len(returned.says) <= 200
    assert returned.is_cut == (len(raw) > MAX_BYTES)
    repr(returned).encode()  # raises when there is a lone surrogate
    assert len(repr(returned)) < 2_000_000


@given(st.binary(max_size=2000))
@settings(max_examples=100, deadline=None)
def test_arbitrary_bytes(raw) -> None:
    bounded(raw, read_returned(raw, READER))


@given(st.sampled_from(SAMPLES), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 60), PIECES), max_size=12))
@settings(max_examples=100, deadline=None)
def test_mutated_samples(sample, changes) -> None:
    raw = sample
    for place, length, piece in changes:
        at = int(place * len(raw))
        raw = raw[:at] + piece + raw[at + length :]
    bounded(raw, read_returned(raw, READER))


@given(PIECES.filter(bool), st.sampled_from(SAMPLES), st.booleans())
@settings(max_examples=30, deadline=None)
def test_a_piece_repeated_without_end(piece, sample, at_end) -> None:
    """Linear in its length, or this test would take minutes."""
    many = piece * (MAX_BYTES // len(piece))
    raw = sample + many if at_end else many + sample
    bounded(raw, read_returned(raw, READER))
