"""However a stream is cut, the same replies and the same error come out of it; and nothing else than ReplyError."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.smtp.reply import Reply, ReplyError, ReplyReader

text = st.binary(max_size=30).filter(lambda raw: b"\n" not in raw and not raw.endswith(b"\r"))
codes = st.integers(200, 599).map(lambda code: b"%d" % code)


@st.composite
def reply_bytes(draw: st.DrawFn) -> bytes:
    code = draw(codes)
    first = [code + b"-" + line for line in draw(st.lists(text, max_size=3))]
    return b"\r\n".join([*first, code + b" " + draw(text), b""])


stream = st.one_of(
    st.lists(reply_bytes(), max_size=6).map(b"".join),
    st.binary(max_size=200),
    st.lists(st.one_of(reply_bytes(), st.binary(max_size=20)), max_size=6).map(b"".join),
)


def outcome(chunks: list[bytes]) -> list[Reply | str]:
    reader, found = ReplyReader(), list[Reply | str]()
    for chunk in chunks:
        reader.feed(chunk)
        try:
            while (reply := reader.next()) is not None:
                found.append(reply)
        except ReplyError as error:
            return [*found, str(error)]
    return found


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted(place % (len(data) + 1) for place in places)
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


@given(stream, st.lists(st.integers(0, 10_000), max_size=8))
@settings(max_examples=300, deadline=None)
def test_any_cut_gives_the_same_replies(data: bytes, places: list[int]) -> None:
    assert outcome(cut(data, places)) == outcome([data])


@given(st.lists(reply_bytes(), max_size=6))
@settings(max_examples=100, deadline=None)
def test_well_formed_replies_are_all_read(replies: list[bytes]) -> None:
    found = outcome([b"".join(replies)])
    assert [reply.code for reply in found if isinstance(reply, Reply)] == [int(raw[:3]) for raw in replies]


@given(st.lists(reply_bytes(), max_size=6))
@settings(max_examples=100, deadline=None)
def test_what_is_kept_is_bounded(replies: list[bytes]) -> None:
    for reply in outcome([b"".join(replies)]):
        assert isinstance(reply, Reply)
        assert len(reply.text.encode()) <= 3 * 1024
        assert reply.enhanced == "" or reply.enhanced[0] == str(reply.code)[0]
