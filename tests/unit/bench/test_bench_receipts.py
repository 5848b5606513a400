"""What the sink remembers."""

import hashlib
import itertools
from pathlib import Path

import pytest

from bench.receipts import Ledger, Sample, message_id, read_receipts

MESSAGE = b"Subject: x\r\nMessage-ID: <%d@a.example>\r\n\r\nbody\r\n"


@pytest.mark.parametrize(
    ("message", "found"),
    [
        (MESSAGE % 1, b"<1@a.example>"),
        (b"Message-ID: <first@line>\r\n\r\n", b"<first@line>"),
        (b"X: y\r\nMESSAGE-id:<tight@x>\r\n\r\n", b"<tight@x>"),
        (b"X: y\r\nMessage-ID:\r\n <folded@x>\r\n\r\n", b"<folded@x>"),
        (b"X: y\r\n\r\nbody\r\nMessage-ID: <body@x>\r\n", b""),
        (b"", b""),
    ],
)
def test_message_id(message: bytes, found: bytes) -> None:
    assert message_id(message) == found


def test_receipts_say_what_came(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "receipts")
    ledger.receive(b"x@b.example", MESSAGE % 1, answered=True)
    ledger.receive("ü@b.example".encode(), MESSAGE % 2, answered=False)
    ledger.receive(b'"\xff"@b.example', MESSAGE % 1, answered=True)
    assert list(read_receipts(tmp_path / "receipts")) == []
    ledger.flush()
    receipts = list(read_receipts(tmp_path / "receipts"))
    assert [receipt.recipient for receipt in receipts] == ["x@b.example", "ü@b.example", '"\ufffd"@b.example']
    assert [receipt.answered for receipt in receipts] == [True, False, True]
    assert receipts[0].sha256 == hashlib.sha256(MESSAGE % 1).hexdigest()
    counts = ledger.counts()
    assert (counts["received"], counts["unique"], counts["duplicates"]) == (3, 2, 1)
    assert counts["bytes"] == 3 * len(MESSAGE % 1)
    assert counts["events"] == {"unanswered": 1}
    ledger.close()
    assert len(list(read_receipts(tmp_path / "receipts"))) == 3


def test_bare_lf_is_counted_in_what_is_inspected(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "receipts", inspect_every=2)
    for _ in range(4):
        ledger.receive(b"x@b.example", b"a\nb\r\n", answered=True)
    ledger.close()
    counts = ledger.counts()
    assert (counts["inspected"], counts["messages_with_bare_lf"]) == (2, 2)
    assert [bool(receipt.sha256) for receipt in read_receipts(tmp_path / "receipts")] == [True, False, True, False]


def test_reset_begins_anew(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "receipts")
    ledger.receive(b"x@b.example", MESSAGE % 1, answered=True)
    ledger.reset()
    ledger.receive(b"x@b.example", MESSAGE % 1, answered=True)
    assert ledger.counts()["duplicates"] == 0
    ledger.close()
    ledger.close()
    assert len(list(read_receipts(tmp_path / "receipts"))) == 2


@pytest.mark.parametrize("offered", [0, 3, 8, 9, 100, 1000])
def test_sample_is_spread_over_the_run(offered: int, tmp_path: Path) -> None:
    sample = Sample(8)
    for number in range(offered):
        sample.offer(b"x", b"%d" % number)
    numbers = [int(message) for _, message in sample.kept]
    assert len(numbers) == offered if offered <= 8 else 4 <= len(numbers) <= 8
    assert len({later - earlier for earlier, later in itertools.pairwise(numbers)}) <= 1
    (tmp_path / "99999.eml").write_bytes(b"old")
    sample.write(tmp_path)
    assert sorted(int(path.read_bytes()) for path in tmp_path.glob("*.eml")) == numbers


def test_no_sample_wanted() -> None:
    sample = Sample(0)
    sample.offer(b"x", b"y")
    assert sample.kept == []
