"""Segments of the journal under a legal hold: a real ledger, real segments, and retention that would take them all."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.flow.heldsegments import HeldSegments
from engine.journal import FeedbackReport, Journal, JournalSettings, Record, segments
from engine.journal.segment import NEWEST_KEPT
from engine.journal.writer import JournalEnds
from suppression import Suppression, SuppressionSettings
from suppression.hold import HoldAct, HoldWish

NOW = 1_800_000_000.0
FIRST = [
    [Record("Delivery", "1", NOW, recipient="Taro@x.jp", legal_sender="shop")],
    [Record("Delivery", "2", NOW, recipient="jiro@x.jp", legal_sender="shop")],
    [Record("Delivery", "3", NOW, recipient="taro@x.jp", legal_sender="other")],
    [Record("OOB", "4", NOW, recipient="saburo@x.jp")],
    [Record("Delivery", "5", NOW, recipient="shiro@x.jp", legal_sender="other")],
]


class House:
    """An engine's ledger and journal; may be opened again as after a restart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.open()

    def open(self) -> None:
        settings = SuppressionSettings(self.folder / "l", self.folder / "secret")
        self.suppression = Suppression.open(settings, clock=lambda: NOW)
        self.by_settings: list[str] = []
        self.held = HeldSegments(self.suppression.history.holds, self.suppression.identify, lambda: self.by_settings)

    def hold(self, sender: str = "", address: str = "", *, release: bool = False) -> None:
        identity = self.suppression.identify([address])[0] if address else b""
        wish = HoldWish("case 1", sender, address, "山田", NOW, release=release)
        self.suppression.perform_now(HoldAct(wish, identity, NOW))

    def write(self, *groups: list[Record], keep: float = 0.0) -> None:
        async def main() -> None:
            settings = JournalSettings(self.folder / "journal", max_segment_bytes=1, keep_seconds=keep)
            journal = Journal(settings, keeps=self.held.keeps)
            for group in groups:
                await journal.append(group)
            if journal._retaining:
                await asyncio.to_thread(journal._retaining.join)
            await journal.close()

        asyncio.run(main())

    def fill(self) -> list[Path]:
        """A segment each, all of them older than is kept; behind them those that retention never takes."""
        self.write(*FIRST, *([[Record("Delivery", "9", NOW, recipient="z@x.jp", legal_sender="z")]] * NEWEST_KEPT))
        found = segments(self.folder / "journal")
        for path in found:
            os.utime(path, (1e9, 1e9))
        return found[: len(FIRST)]

    def left(self, paths: list[Path]) -> list[int]:
        """Which of them are there after retention."""
        self.write([Record("Delivery", "8", NOW, recipient="z@x.jp", legal_sender="z")], keep=60.0)
        return [number for number, path in enumerate(paths) if path.exists()]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.suppression.close()


def test_without_a_hold_all_of_them_go(house: House) -> None:
    assert house.left(house.fill()) == []


def test_a_held_person_keeps_the_segments_with_a_record_of_theirs_over_a_restart(house: House) -> None:
    paths = house.fill()
    house.hold(address="TARO@x.jp")
    house.suppression.close()
    house.open()
    assert house.left(paths) == [0, 2]
    house.hold(address="taro@x.jp", release=True)
    assert house.left(paths) == []


@pytest.mark.parametrize(
    ("sender", "address", "kept"),
    [("shop", "", [0, 1, 3]), ("shop", "taro@x.jp", [0]), ("other", "saburo@x.jp", [3]), ("shop", "z@x.jp", [])],
)
def test_a_record_that_names_no_sender_may_be_the_held_ones(
    house: House, sender: str, address: str, kept: list[int]
) -> None:
    paths = house.fill()
    house.hold(sender, address)
    assert house.left(paths) == kept


def test_a_sender_on_hold_by_the_settings_counts(house: House) -> None:
    paths = house.fill()
    house.by_settings = ["other"]
    assert house.left(paths) == [2, 3, 4]


def test_a_segment_is_read_once_for_the_same_holds_and_again_for_others(house: House) -> None:
    path = house.fill()[4]
    house.hold(address="taro@x.jp")
    assert not house.held.keeps(path, lambda: None)
    path.unlink()
    assert not house.held.keeps(path, lambda: None), "not read again"
    house.hold("other")
    with pytest.raises(FileNotFoundError):
        house.held.keeps(path, lambda: None)


def test_a_hold_that_comes_while_a_segment_is_read_keeps_it(house: House) -> None:
    path = house.fill()[4]
    house.hold(address="taro@x.jp")
    assert house.held.keeps(path, lambda: house.hold(address="shiro@x.jp"))
    assert house.held.keeps(path, lambda: None)


def test_who_is_named_in_a_complaint_is_found_and_what_cannot_be_read_is_kept(house: House, tmp_path: Path) -> None:
    house.hold(address="taro@x.jp")
    report = FeedbackReport("abuse", original_rcpto_to=("taro@x.jp",))
    house.write([Record("Feedback", "1", NOW, legal_sender="shop", feedback_report=report)])
    (named,) = segments(tmp_path / "journal")
    assert house.held.keeps(named, lambda: None)
    torn = tmp_path / "journal" / "0000000009-x.jsonl.zst"
    torn.write_bytes(b"no zstd")
    assert house.held.keeps(torn, lambda: None)
    odd = tmp_path / "journal" / "0000000010-x.jsonl.zst"
    house.write([Record("OOB", "1", NOW, recipient="no address")])
    odd = segments(tmp_path / "journal")[-1]
    assert house.held.keeps(odd, lambda: None), "what is no address may be a cut one"


def test_a_ledger_that_cannot_be_asked_lets_nothing_go_and_a_stop_ends_the_reading(house: House, caplog) -> None:
    paths = house.fill()

    def broken() -> list:
        raise RuntimeError("ledger away")

    well, house.held._holds = house.held._holds, broken
    assert house.left(paths) == [0, 1, 2, 3, 4]
    assert "no segment is deleted" in caplog.text
    house.held._holds = well
    house.hold(address="nobody@x.jp")

    def ends() -> None:
        raise JournalEnds

    with pytest.raises(JournalEnds):
        house.held.keeps(paths[0], ends)
