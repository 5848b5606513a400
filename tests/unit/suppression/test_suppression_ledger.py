from __future__ import annotations

import os
import sqlite3
import threading
from concurrent.futures import Future

import apsw
import pytest

from suppression import database
from suppression import ledger as module
from suppression.ledger import Ledger, LedgerFailed, LedgerRefused
from suppression.recording import Batch, Bulk, Entry
from suppression.standing import EVERY, Fact, Kind


def entry(number, sender="acme", topic="", evidence="") -> Entry:
    key = number.to_bytes(8, "little")
    return Entry(Kind.OPT_OUT, key + key, sender, topic, 1_000_000, 0, "web", evidence, f"u{number}@x.jp")


def batch(*numbers) -> Batch:
    return Batch([entry(number) for number in numbers], 2_000_000)


class Told:
    """Stands where the index stands; can be made to wait or to fail."""

    def __init__(self) -> None:
        self.groups: list[tuple[int, int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.error: Exception | None = None

    def __call__(self, written, last) -> None:
        self.entered.set()
        self.gate.wait(10)
        if self.error is not None:
            raise self.error
        self.groups.append((len(written), last))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def ledger(tmp_path, told):
    made = Ledger(tmp_path / "ledger", told)
    made.start()
    yield made
    told.gate.set()
    made.close()


def test_answers_when_durable_and_in_force(ledger, told, tmp_path) -> None:
    assert ledger.put(batch(1, 2)).result(10) == 2
    assert told.groups == [(1, 2)]
    with sqlite3.connect(f"file:{tmp_path}/ledger/ledger.sqlite?mode=ro", uri=True) as other:
        assert other.execute("SELECT count(*) FROM event").fetchone() == (2,)
    other.close()


def test_what_waits_meanwhile_goes_in_one_commit(ledger, told) -> None:
    told.gate.clear()
    answers = [ledger.put(batch(number)) for number in range(1, 31)]
    told.gate.set()
    last = [answer.result(10) for answer in answers]
    assert last[-1] == 30
    assert len(told.groups) < 30
    assert sum(size for size, _ in told.groups) == 30


def test_a_group_is_bounded(ledger, told, monkeypatch) -> None:
    monkeypatch.setattr(module, "_MAX_GROUP", 3)
    told.gate.clear()
    answers = [ledger.put(batch(number)) for number in range(1, 11)]
    told.gate.set()
    for answer in answers:
        answer.result(10)
    assert max(size for size, _ in told.groups) <= 3


def test_keys_over_the_sign_and_names_come_back(ledger) -> None:
    high = 2**64 - 2
    ledger.put(Batch([entry(high, "acme", "news"), entry(high, "", ""), entry(5, "other", "news")], 1)).result(10)
    ledger.stop()
    assert ledger.facts(high) == [
        Fact(Kind.OPT_OUT, high, high, ledger.senders["acme"], ledger.topics["news"], 1_000_000, 0),
        Fact(Kind.OPT_OUT, high, high, EVERY, EVERY, 1_000_000, 0),
    ]
    kind, acme, news = Kind.OPT_OUT, ledger.senders["acme"], ledger.topics["news"]
    assert list(ledger.alike_after(0)) == [
        (Fact(kind, 0, 0, acme, news, 0, 0), entry(high).identity),
        (Fact(kind, 0, 0, EVERY, EVERY, 0, 0), entry(high).identity),
        (Fact(kind, 0, 0, ledger.senders["other"], news, 0, 0), entry(5).identity),
    ]
    assert [identities for _, identities in ledger.alike_after(2)] == [entry(5).identity]
    assert ledger.senders["acme"] != ledger.senders["other"]


def test_a_long_replay_goes_by_parts(ledger, monkeypatch) -> None:
    monkeypatch.setattr(module, "_REPLAY_ROWS", 3)
    ledger.put(batch(*range(1, 9))).result(10)
    ledger.stop()
    parts = [identities for _, identities in ledger.alike_after(0)]
    assert [len(part) // 16 for part in parts] == [3, 3, 2]
    assert b"".join(parts) == b"".join(entry(number).identity for number in range(1, 9))


def test_a_bulk_is_as_if_each_were_put(ledger) -> None:
    numbers = range(1000, 1250)
    identities = [number.to_bytes(8, "little") + (number * 7).to_bytes(8, "little") for number in numbers]
    bulk = Bulk([entry(0, topic="a"), entry(0, topic="b")], 2, identities, [f"u{n}@x.jp" for n in numbers], [*numbers])
    assert ledger.put(bulk).result(10) == 500
    ledger.stop()
    for number in numbers:
        facts = ledger.facts(number * 7)
        assert [(fact.exact, fact.at) for fact in facts] == [(number, number)] * 2
        assert [fact.topic for fact in facts] == [ledger.topics["a"], ledger.topics["b"]]


def test_evidence_that_repeats_is_stored_once(ledger, monkeypatch) -> None:
    monkeypatch.setattr(module, "_MAX_TEXTS", 2)
    texts = ["web", "form 1", "form 1", "form 2", "form 1", "x" * 2000, "x" * 2000]
    ledger.put(Batch([entry(number, evidence=text) for number, text in enumerate(texts)], 1)).result(10)
    ledger.stop()
    stored = [row[0] for row in ledger._database.execute("SELECT content FROM text")]
    assert stored.count("x" * 2000) == 2
    assert set(stored) == set(texts)
    rows = ledger._database.execute("SELECT content FROM event JOIN text ON text.id = evidence ORDER BY event.id")
    assert [row[0] for row in rows] == texts


def test_names_survive_a_restart(tmp_path, told) -> None:
    first = Ledger(tmp_path / "l", told)
    first.start()
    first.put(Batch([entry(1, "acme", "news"), entry(2, "other", "shop")], 1)).result(10)
    names, number = (first.senders, first.topics), first.number
    first.close()
    second = Ledger(tmp_path / "l", told)
    assert ((second.senders, second.topics), second.number) == (names, number)
    second.close()


def test_a_failure_after_the_commit_is_for_good_and_reaches_all(ledger, told) -> None:
    ledger.put(batch(1)).result(10)
    told.gate.clear()
    told.entered.clear()
    answers = [ledger.put(batch(2))]
    told.entered.wait(10)
    answers += [ledger.put(batch(number)) for number in range(3, 8)]
    assert answers[-1].cancel()
    told.error = RuntimeError("index broken")
    told.gate.set()
    for answer in answers[:-1]:
        with pytest.raises(LedgerFailed, match="index broken"):
            answer.result(10)
    with pytest.raises(LedgerFailed, match="RuntimeError: index broken"):
        ledger.put(batch(9)).result(10)
    assert ledger.failure.startswith("suppression ledger: RuntimeError: index broken; check its disk")


def test_an_entry_that_cannot_be_stored_fails_the_whole_group_and_leaves_nothing(ledger) -> None:
    broken = Batch([entry(1), entry(2, evidence="\ud800")], 1)
    with pytest.raises(LedgerFailed):
        ledger.put(broken).result(10)
    ledger.stop()
    assert ledger.last_event() == 0


def test_a_cancelled_call_is_not_written(ledger, told) -> None:
    told.gate.clear()
    first = ledger.put(batch(1))
    told.entered.wait(10)
    second, third = ledger.put(batch(2)), ledger.put(batch(3))
    assert second.cancel()
    told.gate.set()
    assert (first.result(10), third.result(10)) == (1, 2)
    ledger.stop()
    assert ledger.facts(2) == []


def test_a_second_opener_is_refused(ledger, tmp_path, told) -> None:
    with pytest.raises(LedgerRefused, match="another process has it open"):
        Ledger(tmp_path / "ledger", told)


def test_closed_twice_is_closed(tmp_path, told) -> None:
    made = Ledger(tmp_path / "l", told)
    made.close()
    made.close()
    assert isinstance(made.put(batch(1)), Future)
    with pytest.raises(LedgerFailed, match="closed"):
        made.put(batch(1)).result(10)


def test_files_are_private(ledger, tmp_path) -> None:
    ledger.put(batch(1)).result(10)
    assert (tmp_path / "ledger").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "ledger").iterdir()} == {0}


def test_every_commit_is_synced(ledger) -> None:
    assert ledger._database.pragma("journal_mode") == "wal"
    assert ledger._database.pragma("synchronous") == 2


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\0" + b"x" * 5000])
def test_refuses_a_damaged_file(tmp_path, told, content) -> None:
    folder = tmp_path / "l"
    folder.mkdir()
    (folder / "ledger.sqlite").write_bytes(content)
    for _ in range(2):  # the lock is given back
        with pytest.raises(LedgerRefused, match="restore it from the backup"):
            Ledger(folder, told)


def test_refuses_another_programs_database(tmp_path, told) -> None:
    folder = tmp_path / "l"
    folder.mkdir()
    database = apsw.Connection(str(folder / "ledger.sqlite"))
    database.execute("CREATE TABLE event (id)")
    database.close()
    for _ in range(2):
        with pytest.raises(LedgerRefused, match="not a ledger"):
            Ledger(folder, told)


def test_refuses_a_folder_that_is_none(tmp_path, told) -> None:
    (tmp_path / "l").write_bytes(b"")
    with pytest.raises(LedgerRefused, match="folder"):
        Ledger(tmp_path / "l", told)


def test_refuses_an_sqlite_that_may_lose_commits(tmp_path, told, monkeypatch) -> None:
    monkeypatch.setattr(database, "OLDEST_SQLITE", (99, 0, 0))
    with pytest.raises(LedgerRefused, match="may lose commits"):
        Ledger(tmp_path / "l", told)


def test_an_unfinished_first_start_is_made_again(tmp_path, told) -> None:
    folder = tmp_path / "l"
    folder.mkdir()
    (folder / "ledger.sqlite").touch()
    made = Ledger(folder, told)
    assert made.last_event() == 0
    made.close()
    assert os.access(folder / "ledger.sqlite", os.R_OK)
