from __future__ import annotations

import pytest

from suppression.events import AddressState, Basis, Covers
from suppression.index import Index
from suppression.snapshot import SnapshotInvalid, Stamp, read_snapshot, write_snapshot
from suppression.standing import Folded, Ground, Refusal, Stand, Standing

STAMP = Stamp("ledger", "print")
FULL = Standing(
    AddressState.FICT_SUSPECT,
    Stand(Refusal.ALL, frozenset({Ground(Basis.CARD, Covers.AD), Ground(Basis.MO_REC, Covers.AD | Covers.MAIL_ORDER)})),
    ((3, Stand(Refusal.TOPIC)), (9, Stand())),
)


def filled() -> Index:
    index = Index()
    index.install(Folded({(1, 2**63): FULL, (2, 5): Standing()}, {(0, 7): FULL}, {8: FULL}))
    return index


def test_reads_what_was_written(tmp_path) -> None:
    path = tmp_path / "index.snapshot"
    write_snapshot(path, filled(), STAMP, 42)
    index, event = read_snapshot(path, STAMP)
    assert event == 42
    assert index.standings == filled().standings
    assert [index.find(1, 2**63, 0), index.find(1, 0, 7), index.find(1, 8, 0), index.find(1, 1, 1)] == [1, 1, 1, 0]
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_empty_index_too(tmp_path) -> None:
    write_snapshot(tmp_path / "s", Index(), STAMP, 0)
    assert len(read_snapshot(tmp_path / "s", STAMP)[0]) == 0


def test_changes_stay_in_memory(tmp_path) -> None:
    path = tmp_path / "s"
    write_snapshot(path, filled(), STAMP, 1)
    before = path.read_bytes()
    index, _ = read_snapshot(path, STAMP)
    index.install(Folded({(1, 2**63): Standing()}, {}, {}))
    assert index.find(1, 2**63, 0) == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize("stamp", [Stamp("other", "print"), Stamp("ledger", "other")])
def test_refuses_another_ledgers(tmp_path, stamp) -> None:
    write_snapshot(tmp_path / "s", filled(), STAMP, 1)
    with pytest.raises(SnapshotInvalid, match="another ledger"):
        read_snapshot(tmp_path / "s", stamp)


def test_refuses_any_changed_byte_that_counts(tmp_path) -> None:
    path = tmp_path / "s"
    write_snapshot(path, filled(), STAMP, 1)
    good = path.read_bytes()
    expected = [(kind, sender, bytes(run.memory()[0])) for kind, sender, run in filled().tables()]
    refused = 0
    for at in range(0, len(good), 101):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        try:
            index, _ = read_snapshot(path, STAMP)
        except SnapshotInvalid:
            refused += 1
        else:  # the filling between the pages
            assert [(kind, sender, bytes(run.memory()[0])) for kind, sender, run in index.tables()] == expected
    assert refused > 10


def test_refuses_any_cut(tmp_path) -> None:
    path = tmp_path / "s"
    write_snapshot(path, filled(), STAMP, 1)
    good = path.read_bytes()
    for end in (0, 1, 15, 16, 100, 4096, 5000, len(good) // 2, len(good) - 4096):
        path.write_bytes(good[:end])
        with pytest.raises(SnapshotInvalid):
            read_snapshot(path, STAMP)


def test_refuses_what_is_not_there(tmp_path) -> None:
    with pytest.raises(SnapshotInvalid):
        read_snapshot(tmp_path / "s", STAMP)


def test_a_crash_while_writing_leaves_the_old_one(tmp_path) -> None:
    path = tmp_path / "s"
    write_snapshot(path, filled(), STAMP, 1)
    (tmp_path / "s.new").write_bytes(b"half")
    assert read_snapshot(path, STAMP)[1] == 1
    write_snapshot(path, filled(), STAMP, 2)
    assert read_snapshot(path, STAMP)[1] == 2
