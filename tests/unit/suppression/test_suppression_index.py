from __future__ import annotations

import random

import numpy as np
import pytest

from suppression import index as module
from suppression.events import AddressState, Basis, Covers
from suppression.index import OVERLAY_LIMIT, Index, Run, Table
from suppression.standing import EVERY, NOTHING, Fact, Folded, Kind, Refusal, Stand, Standing, fold, pack_ground

A, B, C, D = 2**63 + 1, 2**62, 77, 2**61
OUT, GONE = Standing(elsewhere=Stand(Refusal.ALL)), Standing(address=AddressState.UNKNOWN_USER)
YES = pack_ground(Basis.OPTIN_REC, Covers.AD)


def identities(*pairs) -> bytes:
    return b"".join(exact.to_bytes(8, "little") + wide.to_bytes(8, "little") for exact, wide in pairs)


def both(index, sender, *pairs) -> list[Standing]:
    """What the batch and each alone say, which must be the same."""
    numbers = index.find_many(sender, identities(*pairs)).tolist()
    assert numbers == [index.find(sender, exact, wide) for exact, wide in pairs]
    return [index.standings[number] for number in numbers]


def consent(sender=1) -> Fact:
    return Fact(Kind.CONSENT, 0, 0, sender, EVERY, 1, YES)


def refusal(sender=1) -> Fact:
    return Fact(Kind.OPT_OUT, 0, 0, sender, EVERY, 1)


def test_an_empty_index_knows_nothing() -> None:
    assert both(Index(), 1, (A, A), (B, C)) == [NOTHING, NOTHING]
    assert Index().find_many(1, b"").tolist() == []
    assert len(Index()) == 0


def test_what_is_known_of_the_person_comes_first_then_the_mailbox_then_refusals() -> None:
    index = Index()
    index.install(Folded({}, {(EVERY, C): OUT}, {}))
    assert both(index, 1, (A, C), (B, C), (A, A)) == [OUT, OUT, NOTHING]
    topical = Standing(topics=((4, Stand(Refusal.TOPIC)),))
    index.install(Folded({}, {(1, C): topical}, {}))
    assert both(index, 1, (A, C)) == [topical]
    assert both(index, 2, (A, C)) == [OUT]
    index.install(Folded({}, {}, {A: GONE}))
    assert both(index, 1, (A, C), (B, C)) == [GONE, topical]
    known = Standing(elsewhere=Stand(Refusal.COMPLAINT))
    index.install(Folded({(1, A): known}, {}, {}))
    assert both(index, 1, (A, C), (B, C)) == [known, topical]
    assert both(index, 2, (A, C), (B, C)) == [GONE, OUT]


def test_an_entry_that_says_nothing_lets_the_next_table_speak() -> None:
    index = Index()
    index.install(Folded({(1, A): NOTHING}, {(1, C): NOTHING, (EVERY, C): OUT}, {A: NOTHING}))
    assert both(index, 1, (A, C)) == [OUT]
    assert both(index, 1, (A, B)) == [NOTHING]


def test_many_fresh_consents_are_installed_at_once_and_the_rest_named() -> None:
    index = Index()
    index.install(fold([refusal()._replace(wide=B, exact=B)]))
    others = index.install_fresh([consent()], identities((A, A), (B, B), (D, A), (C, C), (C, C)))
    assert others == [1, 2, 4]
    assert both(index, 1, (A, A), (C, C)) == [fold([consent()]).people[1, 0]] * 2
    assert index.install_fresh([consent()], identities((A, A))) == [0]
    assert index.install_fresh([consent(2)], identities((A, A))) == []


@pytest.mark.parametrize("fact", [refusal(EVERY), Fact(Kind.ADDRESS, 0, 0, EVERY, EVERY, 1, AddressState.UNKNOWN_USER)])
def test_what_concerns_every_sender_is_fresh_only_if_no_sender_knows_the_address(fact) -> None:
    index = Index()
    index.install_fresh([consent(1)], identities((A, A)))
    index.install_fresh([refusal(2)], identities((B, B)))
    assert index.install_fresh([fact], identities((A, A), (B, B), (C, C))) == [0, 1]
    assert both(index, 9, (C, C)) in ([OUT], [GONE])
    assert index.install_fresh([refusal(3)], identities((C, C))) == [0]
    assert index.install_fresh([consent(3)], identities((C, C))) == [0]


def test_many_keys_through_runs_of_all_sizes() -> None:
    random.seed(3)
    table, expected = Table(overlay_limit=50), {}
    for size in (1, 49, 50, 700, 3, 90, 2000, 60, 49, 49):
        keys = [random.getrandbits(64) >> 1 for _ in range(size)]
        table.put_new(np.array(keys, dtype=np.uint64), np.array(range(size), dtype=np.uint32))
        expected |= dict(zip(keys, range(size), strict=True))
    asked = [*expected, *(random.getrandbits(64) for _ in range(500))]
    assert table.get_many(np.array(asked, dtype=np.uint64)).tolist() == [expected.get(key, -1) for key in asked]
    assert [table.get(key) for key in asked] == [expected.get(key, -1) for key in asked]
    assert len(table) == len(expected)


def test_a_run_of_neighbours_longer_than_a_window() -> None:
    keys = np.arange(100, 400, dtype=np.uint64)
    run = Run.build([(keys, keys.astype(np.uint32))], len(keys))
    slots, there = run.find(np.array([*range(90, 410)], dtype=np.uint64))
    assert there.tolist() == [100 <= key < 400 for key in range(90, 410)]
    assert run.numbers[slots[there]].tolist() == list(range(100, 400))
    assert [run.number(key) for key in (99, 100, 399, 400)] == [-1, 100, 399, -1]


def test_a_run_spends_less_than_seventeen_bytes_a_key() -> None:
    keys = np.unique(np.random.default_rng(1).integers(0, 2**64 - 1, 100_000, dtype=np.uint64))
    run = Run.build([(keys, np.zeros(len(keys), dtype=np.uint32))], len(keys))
    assert (run.keys.nbytes + run.numbers.nbytes) / len(keys) < 17


def test_keys_that_crowd_at_the_end_have_room() -> None:
    keys = np.arange(2**64 - 400, 2**64 - 100, dtype=np.uint64)
    run = Run.build([(keys[:10], keys[:10].astype(np.uint32)), (keys[10:], keys[10:].astype(np.uint32))], len(keys))
    slots, there = run.find(keys)
    assert there.all()
    assert run.numbers[slots].tolist() == keys.astype(np.uint32).tolist()


def test_a_merge_moves_piece_by_piece(monkeypatch) -> None:
    monkeypatch.setattr(module, "_PIECE", 10)
    random.seed(9)
    crowded = [*range(2**40, 2**40 + 40), *range(2**64 - 60, 2**64 - 20)]
    table, expected = Table(overlay_limit=8), {}
    for size in (300, 100, 40):
        keys = [random.getrandbits(64) >> 1 for _ in range(size)] + [crowded.pop() for _ in range(20)]
        table.put_new(np.array(keys, dtype=np.uint64), np.array(range(len(keys)), dtype=np.uint32))
        expected |= dict(zip(keys, range(len(keys)), strict=True))
    found, numbers = table.compacted().piece(0, 1 << 64)
    assert found.tolist() == sorted(expected)
    assert dict(zip(found.tolist(), numbers.tolist(), strict=True)) == expected
    assert table.get_many(np.array([*expected], dtype=np.uint64)).tolist() == list(expected.values())


def test_a_number_changes_where_the_key_lies() -> None:
    table = Table(overlay_limit=2)
    for key, number in ((A, 1), (B, 2), (C, 3), (A, 4), (C, 5)):
        table.put(key, number)
    assert [table.get(key) for key in (A, B, C)] == [4, 2, 5]
    assert len(table) == 3


def test_the_overlay_is_bounded() -> None:
    table = Table()
    for key in range(OVERLAY_LIMIT + 5):
        table.put(key * 2**40, 1)
    assert len(table._state[1]) == 5
    assert table.get(0) == 1


def test_restores_what_it_gave_for_a_snapshot() -> None:
    index = Index()
    index.install(Folded({(1, A): OUT}, {(2, B): OUT}, {C: GONE}))
    copy = Index()
    mapped = [
        (kind, sender, Run.mapped(*map(memoryview, map(bytearray, run.memory())), run.capacity, run.count))
        for kind, sender, run in index.tables()
    ]
    copy.restore(index.standings, mapped)
    assert both(copy, 1, (A, A), (C, C), (B, B)) == [OUT, GONE, NOTHING]
    assert both(copy, 2, (A, A), (C, C), (B, B)) == [NOTHING, GONE, OUT]
    assert len(copy) == 3
    copy.install(Folded({(1, A): NOTHING}, {}, {}))
    assert both(copy, 1, (A, A)) == [NOTHING]


def test_runs_and_overlay_become_one_run_that_says_the_same() -> None:
    table, expected = Table(overlay_limit=4), {}
    for start, size in ((1, 60), (100, 8), (200, 2)):
        keys = range(start, start + size)
        table.put_new(np.array(keys, dtype=np.uint64), np.array(keys, dtype=np.uint32))
        expected |= dict.fromkeys(keys)
    assert [len(part) for part in table._state] == [2, 2]
    whole = table.compacted()
    assert [column.tolist() for column in whole.piece(0, 1 << 64)] == [list(expected)] * 2
    assert table.compacted() is whole
    assert [table.get(key) for key in (1, 107, 201, 300)] == [1, 107, 201, -1]
