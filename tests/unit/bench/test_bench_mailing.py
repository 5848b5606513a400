"""Made-up people and their newsletter."""

import re

import pytest

from bench.mailing import People, fields, message, number_of, urgent_address


@pytest.mark.parametrize("fault", ["stall", "defer", "dot451", "drop-dot"])
def test_number_can_be_read_back(fault: str) -> None:
    people = People(100, 7, stalled=20, stalled_fault=fault)
    assert [number_of(people.address(number)) for number in range(120)] == [("person", number) for number in range(120)]
    assert len({people.address(number) for number in range(120)}) == 120
    assert number_of(urgent_address(17)) == ("urgent", 17)


def test_a_stranger() -> None:
    with pytest.raises(ValueError, match="no recipient of the bench"):
        number_of("somebody@else.example")


def test_every_merge_field_is_given() -> None:
    template = "".join(message(4096).values())
    assert set(re.findall(r"{{(\w+)}}", template)) == set(fields(3))
    assert template.count("%footer%") == 2


def test_a_small_message_is_a_short_text_alone() -> None:
    parts = message(1024)
    assert set(parts) == {"subject", "text"}
    assert len(parts["text"].encode()) < 300
    assert "%footer%" in parts["text"], "what the law wants shown: without it the engine refuses it"
    assert "html" in message(2048)


@pytest.mark.parametrize("size", [2048, 4096, 16384])
def test_message_grows_with_the_wished_size(size: int) -> None:
    parts = message(size)
    wire = len((parts["text"] + parts["html"]).encode()) * 4 / 3 + 1900 + 1000
    assert wire == pytest.approx(max(size, 3700), rel=0.15)


def test_recipients() -> None:
    people = People(3, 2)
    assert [address for address, _ in people.recipients(1, 3)] == [
        "person1@d1.bench.example",
        "person2@d0.bench.example",
    ]
