"""Requests of a legal hold over a real ledger: recorded and listed, or refused with the field."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from engine import wire
from engine.flow.holds import MOST_ROWS, Holds
from engine.wire import Refusal
from suppression import LedgerFailed, Suppression, SuppressionSettings

NOW = 1_800_000_000.0
ADD = {"type": "hold", "id": 1, "action": "add", "matter": "case 1", "officer": "山田"}


class House:
    def __init__(self, folder: Path) -> None:
        self.suppression = Suppression.open(SuppressionSettings(folder / "l", folder / "secret"), clock=lambda: NOW)

    def asked(self, **changes: Any) -> Any:
        holds = Holds(self.suppression, check_sender, lambda: NOW)
        request = wire.decode_request(msgpack.packb({**ADD, **changes}))
        try:
            return asyncio.run(holds.answers()[type(request)](request))  # type: ignore[arg-type]
        except Refusal as refusal:
            return refusal.code, refusal.field


def check_sender(sender: str, _category: str | None) -> None:
    if sender != "shop":
        raise Refusal("unknown_sender", "sender", sender, "not configured")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.suppression.close()


def test_placed_listed_and_released(house: House) -> None:
    held = house.asked(sender="shop", address="Taro@x.jp", evidence="x" * 400)
    assert [(one["matter"], one["address"], len(one["evidence"])) for one in held["in_force"]] == [
        ("case 1", "Taro@x.jp", 300)
    ]
    house.asked(sender="shop", matter="case 2")
    assert len(house.asked(action="list", matter="", officer="")["in_force"]) == 2
    assert len(house.asked(action="list", matter="", address="taro@x.jp")["in_force"]) == 1, "any spelling"
    assert house.asked(action="list", matter="", sender="other")["holds"] == []
    released = house.asked(action="release", sender="shop", address="taro@X.jp")
    assert [one["what"] for one in released["holds"]] == ["held", "released"]
    assert released["in_force"] == []


def test_what_cannot_be_is_refused_with_its_field(house: House) -> None:
    assert house.asked(sender="shpo") == ("unknown_sender", "sender")
    assert house.asked(address="nobody") == ("bad_address", "address")
    assert house.asked() == ("bad_request", "address")
    assert house.asked(sender="shop", officer="") == ("bad_request", "officer")
    assert house.asked(sender="shop", action="release") == ("bad_request", "matter")
    house.asked(sender="shop")
    assert house.asked(sender="shop") == ("bad_request", "matter")
    assert house.asked(sender="gone", action="release") == ("bad_request", "matter"), "whose sender may be gone"


def test_a_long_list_is_cut_and_says_so(house: House) -> None:
    for number in range(MOST_ROWS + 1):
        house.asked(sender="shop", matter=f"case {number}")
    told = house.asked(action="list", matter="")
    assert (len(told["holds"]), told["truncated"]) == (MOST_ROWS, True)


def test_a_failed_ledger_says_so(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> int:
        raise LedgerFailed("disk")

    monkeypatch.setattr(house.suppression, "perform", fail)
    assert house.asked(sender="shop") == ("unavailable", "")
