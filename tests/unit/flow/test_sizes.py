"""Carriers' limits on the size of a message: who is refused at submit, by whose table, and what it costs the others."""

from __future__ import annotations

import asyncio
import tomllib
from importlib.resources import files

import pytest

from engine import wire
from engine.flow.accept import Accept
from engine.flow.display import LintMode
from engine.flow.senders import ConfiguredSender, reading
from engine.flow.sizes import Sizes
from engine.policy.shaping import Shaping, read_shaping
from engine.spool.port import NewRecipient
from suppression.unsubscribe import TokenKey
from tests.fakes.accepting import PlayedEngine
from tests.fakes.spool import MemorySpool
from tests.unit.flow.test_display import IDENTITY

PEOPLE = ["a@softbank.ne.jp", "b@ezweb.ne.jp", "c@i.softbank.jp", "d@x.example", "e@hosted.example"]


def shipped() -> Shaping:
    text = files("engine.policy").joinpath("shaping.toml").read_text(encoding="utf-8")
    found = read_shaping(tomllib.loads(text))
    assert isinstance(found, Shaping)
    return found


def shaped(**tables: object) -> Shaping:
    found = read_shaping(tables)
    assert isinstance(found, Shaping)
    return found


def known(domain: str) -> str:
    """What DNS has told: one domain is served by SoftBank."""
    return "softbank" if domain == "hosted.example" else ""


def submitted(octets: int, category: str, mode: LintMode = LintMode.AUTO) -> tuple[list[tuple[int, str, str]], list]:
    sender = ConfiguredSender(IDENTITY, "x", frozenset({"AD", "TX"}), TokenKey(0, b"k" * 32), mode)
    shaping = shipped()
    message = wire.encode_message(wire.Message(subject="s", text=("漢" * 70 + "\n") * (octets // 290) + "%footer%"))

    async def main() -> tuple[list[tuple[int, str, str]], list]:
        accept = Accept(
            MemorySpool(),
            PlayedEngine(),
            {"shop": sender},
            reading({"shop": sender}, sizes=lambda: shaping.message_sizes),
        )
        accept.sizes = Sizes(shaping, known)
        for key in ("1", "2"):  # the second finds the size remembered
            fields = {"key": key, "sender": "shop", "category": category, "mailing": "m"}
            recipients = wire.encode_recipients([(address, {}) for address in PEOPLE])
            told = await accept.submit(wire.submit({**fields, "message": message, "recipients": recipients}))
        return wire.decode_refused(told["refused"]), list(told.get("warnings", []))

    return asyncio.run(main())


def test_only_the_recipients_of_a_carrier_that_would_not_take_it_are_refused() -> None:
    assert submitted(900_000, "AD") == ([], [])
    refused, warnings = submitted(1_500_000, "AD")
    assert [(index, code) for index, code, _ in refused] == [(0, "display"), (2, "display"), (4, "display")]
    assert "softbank: 1000000" in refused[0][2]
    assert "上限以下にしてください" in refused[0][2]
    assert [one["rule"] for one in warnings] == ["D16"]
    assert [index for index, _, _ in submitted(3_200_000, "AD")[0]] == [0, 1, 2, 4]


@pytest.mark.parametrize(("category", "mode"), [("TX", LintMode.AUTO), ("AD", LintMode.WARN)])
def test_where_the_display_is_not_enforced_it_is_told_alone(category: str, mode: LintMode) -> None:
    refused, warnings = submitted(1_500_000, category, mode)
    assert refused == []
    assert [one["rule"] for one in warnings] == ["D16"]


def test_limits_are_the_shapings_and_a_reload_brings_others() -> None:
    assert shipped().message_sizes == {"softbank": 1_000_000, "au": 3_000_000}
    one = NewRecipient(7, "a@x.example", "x.example", {})
    sizes = Sizes(shaped(), lambda _: "")
    assert not sizes.may_exceed(1 << 40)
    assert sizes.too_large(1 << 40, [one]) == []
    sizes.use(shaped(domain={"x.example": {"max_message_size": 500_000}}))
    assert (sizes.may_exceed(100_000), sizes.may_exceed(200_000)) == (False, True)
    assert sizes.too_large(500_000, [one]) == []
    ((index, _, text),) = sizes.too_large(500_001, [one])
    assert index == 7
    assert "x.example: 500000" in text
    sizes.use(shaped(default={"max_message_size": 10}))
    assert len(sizes.too_large(11, [one])) == 1
