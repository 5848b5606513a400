"""Opt-outs on their way into the ledger: in force, told to the measurement, and in the log without an address."""

from __future__ import annotations

import asyncio
import logging

import pytest

from engine.flow.ledger import SuppressionLedger
from engine.wire import Refusal
from suppression import Suppression, SuppressionSettings

NOW = 1_800_000_000.0


def test_an_opt_out_is_in_force_before_anybody_is_told(tmp_path, caplog) -> None:
    suppression = Suppression.open(SuppressionSettings(tmp_path / "s", tmp_path / "secret"), lambda: NOW)
    ledger = SuppressionLedger(suppression, lambda: NOW)
    told: list[tuple[str, float, str]] = []

    def listen(address: str, now: float) -> None:
        told.append((address, now, suppression.decide("shop", "news", "AD", [address])[0].reason))

    async def steps() -> None:
        await ledger.opt_out("a@b.jp", sender="shop", topic="news", channel="web", now=NOW)
        ledger.on_opt_out = listen
        await ledger.opt_out(
            "taro@a.jp", sender="shop", topic="news\u3042", channel="one-click", now=NOW, evidence="{}"
        )
        await ledger.opt_out("taro@a.jp", sender="shop", topic="news", channel="web", now=NOW)
        await ledger.opt_out("taro@a.jp", sender=None, topic=None, channel="", now=NOW)
        with pytest.raises(Refusal) as refused:
            await ledger.opt_out("taro@a.jp", sender="shop", topic="a\nb", channel="web", now=NOW)
        assert (refused.value.code, refused.value.field) == ("bad_request", "topic")

    with caplog.at_level(logging.INFO):
        asyncio.run(steps())
    suppression.close()
    assert told == [
        ("taro@a.jp", NOW, "NO_CONSENT"), ("taro@a.jp", NOW, "OPTOUT_TOPIC"), ("taro@a.jp", NOW, "OPTOUT_ALL"),
    ]  # fmt: skip
    lines = [record.getMessage() for record in caplog.records if record.name == "engine.flow.ledger"]
    assert len(lines) == 4
    who = suppression.identify(["taro@a.jp"])[0].hex()
    assert lines[1] == f"opt-out who={who} scope=TOPIC sender='shop' topic='news\\u3042' channel='one-click' epoch=2"
    assert lines[3] == f"opt-out who={who} scope=GLOBAL sender='' topic='' channel='socket' epoch=4"
    assert not any("@" in line for line in lines)
