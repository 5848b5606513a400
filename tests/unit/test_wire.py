"""engine/wire.py: whatever bytes come, a request or a refusal that names the field."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import wire
from engine.wire import FrameLost, FrameReader, Refusal

SUBMIT: dict[str, Any] = {
    "type": "submit",
    "id": 1,
    "key": "k",
    "sender": "shop",
    "category": "AD",
    "mailing": "m",
    "message": {"subject": "Hi", "text": "{{name}}"},
    "recipients": [["a@example.jp", {"name": "A"}]],
}


def read(**changes: Any) -> wire.AnyRequest:
    return wire.decode_request(msgpack.packb({**SUBMIT, **changes}))


def submit(**changes: Any) -> wire.Submit:
    request = read(**changes)
    assert isinstance(request, wire.Submit)
    return request


def refusal(body: bytes) -> Refusal:
    with pytest.raises(Refusal) as caught:
        wire.decode_request(body)
    return caught.value


@given(st.lists(st.binary(max_size=50), max_size=8), st.data())
def test_any_split_of_the_stream_gives_the_same_frames(bodies, data) -> None:
    stream = b"".join(map(wire.frame, bodies))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    reader, found = FrameReader(), []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        reader.feed(stream[begin:end])
        while (body := reader.next()) is not None:
            found.append(body)
    assert found == bodies
    assert reader.announced == 0


def test_a_length_over_the_limit_is_lost_at_once_and_says_what_to_do() -> None:
    reader = FrameReader(limit=10)
    reader.feed(b"\0\0\0\x0b")
    with pytest.raises(FrameLost, match="11 bytes is announced, the limit is 10: send smaller"):
        reader.next()


def test_a_frame_at_the_limit_is_taken() -> None:
    reader = FrameReader(limit=3)
    reader.feed(wire.frame(b"abc"))
    assert reader.announced == 3
    assert reader.next() == b"abc"


@given(st.binary(max_size=60))
def test_whatever_the_bytes_the_answer_is_a_request_or_a_refusal(body) -> None:
    try:
        read: object = wire.decode_request(body)
    except Refusal as told:
        read = told
    assert isinstance(read, wire.AnyRequest) or (isinstance(read, Refusal) and read.code == "bad_request")
    assert isinstance(wire.request_id(body), int | str | None)


@pytest.mark.parametrize(
    ("body", "field", "value", "text"),
    [
        (msgpack.packb({"type": "ping", "id": 1, "extra": "x"}), "extra", "x", "unknown field"),
        (msgpack.packb({"type": "ping"}), "id", "", "missing required field"),
        (msgpack.packb({"type": "pong", "id": 1}), "type", "pong", "Invalid value"),
        (msgpack.packb({"type": "ping", "id": [1]}), "id", "", "Expected `int | str`"),
        (msgpack.packb({"type": "ping", "id": "x" * 65}), "id", "x" * 65, "length <= 64"),
        (msgpack.packb({**SUBMIT, "sender": 5}), "sender", "5", "Expected `str`"),
        (msgpack.packb({**SUBMIT, "sender": ""}), "sender", "", "length >= 1"),
        (msgpack.packb({**SUBMIT, "expires": -1}), "expires", "-1", ">= 0"),
        (msgpack.packb({**SUBMIT, "priority": "high"}), "priority", "high", "Invalid enum value"),
        (msgpack.packb({**SUBMIT, "topic": "あ\n" * 100}), "topic", r"\u3042\n" * 20 + "...", "length <= 128"),
        (msgpack.packb({**SUBMIT, "key": b"\xff" * 50}), "key", "b'" + r"\xff" * 39 + r"\x...", "Expected `str`"),
        (b"\x93\x01", "", "", "Expected `object`"),
        (b"", "", "", "not MessagePack"),
        (b"\x81\xa4type\xa4pi", "", "", "not MessagePack"),
        (b"\x82\xa4type\xa4ping\xa2id\xa1\xff", "", "", "not MessagePack"),
        (b"\x83\xa4type\xa6submit\xa2id\x01\xa7message" + b"\x91" * 100_000 + b"\xc0", "", "", "not MessagePack"),
        (b"\x83\xa4type\xa6submit\xa2id\x01\xa7message\xdd\xff\xff\xff\xff", "", "", "not MessagePack"),
    ],
)
def test_a_bad_frame_is_told_by_field_value_and_remedy(body, field, value, text) -> None:
    told = refusal(body)
    assert (told.code, told.field) == ("bad_request", field)
    assert told.value.startswith(value)
    assert text in told.text
    assert "docs/protocol.md" in told.text


def test_the_field_of_a_fault_further_in_is_a_path() -> None:
    records = [
        {"address": "a@example.jp", "at": 1, "source": "web"},
        {"address": "b@example.jp", "at": "x", "source": "web"},
    ]
    told = refusal(msgpack.packb({"type": "consent", "id": 1, "sender": "shop", "records": records}))
    assert told.field == "records[1].at"


def test_the_id_is_found_in_what_cannot_be_read() -> None:
    assert wire.request_id(msgpack.packb({"type": "pong", "id": "me"})) == "me"
    assert wire.request_id(msgpack.packb({"type": "pong"})) is None
    assert wire.request_id(b"\xc1") is None


def test_a_message_is_a_digest_or_a_map_of_known_parts() -> None:
    assert wire.decode_message(submit(message=b"x" * 32).message) == b"x" * 32
    message = wire.decode_message(submit().message)
    assert isinstance(message, wire.Message)
    assert message.parts() == {"subject": "Hi", "text": "{{name}}"}
    assert wire.decode_message(wire.encode_message(message)) == message
    for bad, field in (
        ({"subjekt": "x"}, "message.subjekt"),
        ({"headers": {"a": {"b": {}}}}, "message.headers[...]"),
        ("x", "message"),
    ):
        with pytest.raises(Refusal) as caught:
            wire.decode_message(submit(message=bad).message)
        assert caught.value.field == field


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ([], "0 recipients"),
        ({}, "not an array"),
        ([["a", {}]] * 10_001, "10001 recipients"),
        ([["a", {}]] * 70_000, "70000 recipients"),
    ],
)
def test_a_submit_has_one_to_ten_thousand_recipients(given, value) -> None:
    with pytest.raises(Refusal) as caught:
        wire.split_recipients(submit(recipients=given).recipients)
    assert caught.value.value == value


@pytest.mark.parametrize("count", [1, 15, 16, 10_000])
def test_recipients_are_split_one_by_one(count) -> None:
    raws = wire.split_recipients(submit(recipients=[["a@example.jp", {"n": "あ"}]] * count).recipients)
    assert [wire.decode_recipient(raw) for raw in raws] == [wire.Recipient("a@example.jp", {"n": "あ"})] * count


def test_recipients_that_end_too_early_are_refused() -> None:
    with pytest.raises(Refusal, match="truncated"):
        wire.split_recipients(wire.Raw(b"\x92\x01"))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (["a", {"n": 5}], "Expected `str`, got `int`"),
        (["a"], "Expected `array` of at least length 2"),
        (["a", {}, {"region": 5}], "Expected `str`, got `int`"),
        (["a", {}, {"regoin": "EU"}], "unknown field `regoin`"),
        (["a", {}, {"region": "E" * 65}], "length <= 64"),
        (["a", {}, {}, {}], "at most length 3"),
        (["a", {str(n): "" for n in range(101)}], "at most 100"),
        (["a", {"n": "x" * 65536}], "at most 65536"),
        (["a", {"n": {"deeper": {}}}], "Expected `str`, got `object`"),
    ],
)
def test_one_bad_recipient_is_refused_for_itself(given, text) -> None:
    (raw,) = wire.split_recipients(submit(recipients=[given]).recipients)
    with pytest.raises(Refusal) as caught:
        wire.decode_recipient(raw)
    assert caught.value.code == "bad_recipient"
    assert text in caught.value.text


def test_the_digest_leaves_out_the_id_and_nothing_else() -> None:
    known = wire.digest(submit())
    assert wire.digest(submit(id="again")) == known
    others = [
        submit(key="l"),
        submit(sender="other"),
        submit(category="TX"),
        submit(topic="t"),
        submit(mailing="n"),
        submit(message=b"x" * 32),
        submit(recipients=[["a@example.jp", {"name": "B"}]]),
        submit(not_before=1),
        submit(expires=1),
        submit(priority="transactional"),
    ]
    assert len({wire.digest(other) for other in others} | {known}) == len(others) + 1


def test_doors_inside_the_engine_speak_the_same_words_in_the_same_bounds() -> None:
    fields = {name: value for name, value in SUBMIT.items() if name not in {"type", "id", "message", "recipients"}}
    message = wire.Message(subject="Hi", text="{{name}}")
    raws = {
        "message": wire.encode_message(message),
        "recipients": wire.encode_recipients([("a@example.jp", {"name": "A"})]),
    }
    assert wire.digest(wire.submit({**fields, **raws})) == wire.digest(submit())
    with pytest.raises(Refusal) as caught:
        wire.submit({**fields, **raws, "mailing": "x" * 129})
    assert caught.value.field == "mailing"


def test_answers_and_failures_are_frames_with_the_id() -> None:
    answer = wire.answer(7, {"refused": wire.Raw(wire.encode_refused([(1, "c", "t")]))})
    assert msgpack.unpackb(answer[4:]) == {"id": 7, "ok": True, "refused": [[1, "c", "t"]]}
    assert int.from_bytes(answer[:4]) == len(answer) - 4
    failure = wire.failure(None, Refusal("c", "f", "v", "t"))
    error = {"code": "c", "field": "f", "value": "v", "text": "t"}
    assert msgpack.unpackb(failure[4:]) == {"id": None, "ok": False, "error": error}
    assert wire.decode_refused(wire.encode_refused([(1, "c", "t")])) == [(1, "c", "t")]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        ("a\r\nb", r"a\r\nb"),
        ("あ", r"\u3042"),
        ("x" * 81, "x" * 80 + "..."),
        (b"\0", r"b'\x00'"),
        (5, "5"),
    ],
)
def test_shown_values_are_short_and_printable(value, text) -> None:
    assert wire.shown(value) == text
